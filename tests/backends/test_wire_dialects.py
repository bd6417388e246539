"""Servers that speak the protocol in their own way."""

from __future__ import annotations

import json

from mai_backends.openai_compatible.failures import refused
from mai_backends.wire.errors import Refusal
from mai_backends.wire.reply import ReplyReader
from mai_core.errors import ContextExceeded
from mai_core.policy.messages import GenerationOptions, ToolCall


def test_a_refusal_in_a_list_keeps_its_words() -> None:
    """Gemini's OpenAI interface wraps its errors so."""
    said = "The input token count (9000) exceeds the maximum number of tokens allowed (8192): input too long"
    refusal = Refusal.of_body(400, json.dumps([{"error": {"code": 400, "message": said}}]).encode())
    assert (refusal.message, refusal.code) == (said, "400")
    assert isinstance(refused("m", refusal, server="s"), ContextExceeded)


def test_another_id_without_a_name_is_no_other_call() -> None:
    """Some servers make up an id for every piece: the arguments stay with the call they belong to."""
    reader = ReplyReader(GenerationOptions())
    for number, piece in enumerate(('{"a', '": 1}')):
        function = {"arguments": piece, **({} if number else {"name": "f"})}
        call = {"index": 0, "id": f"call-{number}", "function": function}
        reader.read({"choices": [{"delta": {"tool_calls": [call]}}]})
    (call_, _) = reader.end(prompt_seconds=0.0, completion_seconds=0.0)
    assert call_ == ToolCall(id="call-0", name="f", arguments='{"a": 1}')
