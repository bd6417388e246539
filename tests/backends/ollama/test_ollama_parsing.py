"""Laws of what is read: whatever a server writes costs at most itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_backends.ollama.address import server_url
from mai_backends.ollama.client.errors import Unreadable
from mai_backends.ollama.client.lines import objects
from mai_backends.ollama.client.replies import ReplyReader
from mai_backends.ollama.client.request import chat_body
from mai_backends.ollama.client.rows import installed, running
from mai_backends.ollama.facts import Facts, facts_from
from mai_backends.ollama.failures import refused_load, refused_reply
from mai_backends.ollama.options import OllamaOptions
from mai_backends.settings import options_of
from mai_core.errors import (
    AccessDenied,
    BackendError,
    BackendUnavailable,
    ContextExceeded,
    GenerationError,
    MaiError,
    ModelCrashed,
    ModelLoadError,
    OutOfMemory,
    SettingsError,
)
from mai_core.policy.messages import GenerationOptions, Message, Role, TextDelta
from tests.standins.ollama import StandInModel

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
GOOD = StandInModel()


def spoilt(row: dict[str, Any]) -> st.SearchStrategy[Any]:
    """The row with some of its fields, at any depth, replaced by anything."""
    fields = {
        key: JSON | (spoilt(value) if isinstance(value, dict) else st.just(value)) | st.just(value)
        for key, value in row.items()
    }
    return st.fixed_dictionaries({}, optional=fields)


ROWS = st.lists(JSON | spoilt(GOOD.row()), max_size=6)


@given(before=ROWS, after=ROWS)
def test_a_row_costs_at_most_itself(before: list[Any], after: list[Any]) -> None:
    rows = installed([*before, GOOD.row(), *after])
    assert [row.size for row in rows if row.name == GOOD.name]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.name and row.size >= 0 for row in rows)
    listed = running([*before, {**GOOD.row(), "size_vram": 10**12, "context_length": 7}, *after])
    assert GOOD.name in {row.name for row in listed}
    assert all(0 <= row.on_devices <= row.size for row in listed)


@given(details=spoilt(GOOD.shown()) | st.dictionaries(st.text(max_size=9), JSON))
def test_details_of_any_kind_give_facts(details: dict[str, Any]) -> None:
    facts = facts_from(installed([GOOD.row()])[0], details)
    assert isinstance(facts, Facts)
    assert facts.max_context >= 0
    assert facts.parameters >= 0


@given(line=st.dictionaries(st.sampled_from(["message", "done", "done_reason", "eval_count", "x"]), JSON))
def test_a_line_of_any_kind_gives_events(line: dict[str, Any]) -> None:
    reader = ReplyReader(GenerationOptions())
    assert all(events is not None for events in reader.read(line))
    assert bool(line.get("done") is True) == any(type(event).__name__ == "ReplyEnd" for event in reader.read(line))


@given(values=st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5), data=st.data())
def test_lines_are_the_same_however_they_are_cut(values: list[dict[str, Any]], data: st.DataObject) -> None:
    written = b"".join(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for value in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
    pieces = [written[a:b] for a, b in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    assert repr(_read(pieces)) == repr([json.loads(line) for line in written.split(b"\n") if line])


@pytest.mark.parametrize(
    "written", [b"[1]\n", b"nonsense\n", b'{"a": ', b"[" * 100_000, b"x" * 65, b'{"x": "' + b"x" * 65 + b'"}\n']
)
def test_what_is_no_object_is_refused(written: bytes) -> None:
    with pytest.raises(Unreadable):
        _read([written], longest=64 if b"x" in written else 1 << 20)


def _read(pieces: list[bytes], longest: int = 1 << 20) -> list[Any]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def read() -> list[Any]:
        return [line async for line in objects(chunks(), longest=longest)]

    return asyncio.run(read())


@given(
    texts=st.lists(st.text(st.characters(), max_size=20), min_size=1, max_size=4),
    role=st.sampled_from(list(Role)),
    most=st.integers(0, 10**6),
)
def test_a_request_is_json_and_never_lets_a_prompt_be_cut(texts: list[str], role: Role, most: int) -> None:
    messages = [Message(role=role, content=text) for text in texts]
    options = GenerationOptions(max_tokens=most)
    body = chat_body("m", {"num_ctx": 64}, messages, options, keep_alive=None)
    assert json.loads(json.dumps(body)) == body
    assert body["truncate"] is False
    assert body["options"]["num_ctx"] == 64
    assert body["options"]["num_predict"] == (most or -1)
    assert ("think" in body) == (role is Role.ASSISTANT)
    assert "keep_alive" not in body
    assert "shift" not in body, "whoever borrows a model does not have it loaded anew"


@given(status=st.integers(200, 599), said=st.text(max_size=80) | JSON.map(json.dumps))
def test_any_refusal_has_a_class_and_one_line(status: int, said: str) -> None:
    for error in (refused_load("Ollama", "m", status, said), refused_reply("Ollama", "m", status, said)):
        assert isinstance(error, BackendError)
        assert len(error.message.splitlines()) == 1
        assert len(error.message) < 400


TOLD: list[tuple[int, str, type[MaiError], type[MaiError]]] = [
    (500, "model requires more system memory (5.6 GiB) than is available (3.4 GiB)", OutOfMemory, OutOfMemory),
    (500, "llama runner process has terminated: signal: killed", OutOfMemory, OutOfMemory),
    (500, "llama-server process has terminated: exit status 1: cudaMalloc failed: out", OutOfMemory, OutOfMemory),
    (500, "memory layout cannot be allocated with num_gpu = 99", OutOfMemory, OutOfMemory),
    (500, "timed out waiting for llama-server to start - ", ModelLoadError, GenerationError),
    (500, "llama runner process has terminated: exit status 2", ModelLoadError, ModelCrashed),
    (500, "an error was encountered while running the model: unexpected EOF", ModelLoadError, ModelCrashed),
    (500, "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check "
          "ollama server logs for details", ModelLoadError, ModelCrashed),
    (400, "the input length exceeds the context length", ModelLoadError, ContextExceeded),
    (500, "input length (9 tokens) exceeds the model's maximum context length (4 tokens)",
     ModelLoadError, ContextExceeded),
    (400, '"x" does not support chat', ModelLoadError, GenerationError),
    (503, "server busy, please try again.  maximum pending requests exceeded", BackendUnavailable, BackendUnavailable),
    (401, "unauthorized", AccessDenied, AccessDenied),
    (403, "", AccessDenied, AccessDenied),
    (403, "ollama cloud is disabled: remote inference is unavailable", ModelLoadError, GenerationError),
    (502, "<html>Bad Gateway</html>", BackendUnavailable, BackendUnavailable),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said", "loading", "replying"), TOLD, ids=[said[:30] for _, said, *_ in TOLD])
def test_what_ollama_says(status: int, said: str, loading: type[MaiError], replying: type[MaiError]) -> None:
    assert type(refused_load("Ollama", "m", status, said)) is loading
    assert type(refused_reply("Ollama", "m", status, said)) is replying


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("[::]:1234", "http://[::1]:1234"),
        ("::1", "http://[::1]:11434"),
        (":5000", "http://127.0.0.1:5000"),
        ("box", "http://box:11434"),
        ("http://box", "http://box:80"),
        ("https://box/ollama/", "https://box:443/ollama"),
        (' "box:1" ', "http://box:1"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_an_address_is_read_as_ollama_reads_it(written: str, url: str) -> None:
    assert server_url(written) == url
    assert server_url(url) == url


def test_options_say_what_is_wrong_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"urll": "x"}, 'did you mean "url"'),
        ({"url": "ftp://x"}, "http://"),
        ({"url": "http://me:secret@x"}, "no user or password"),
        ({"url": "http://a b"}, "no name of a machine"),
        ({"url": "http://x:99999"}, "port"),
        ({"headers": {"X-A": "a\nb"}}, "printable"),
        ({"keep_alive": 0}, "after every reply"),
        ({"headers": {"Authorization": "Bearer abc"}}, "holds a secret"),
    ]
    for options, words in wrong:
        with pytest.raises(SettingsError) as caught:
            options_of(OllamaOptions, "mine", options)
        assert words in str(caught.value)
        assert "abc" not in str(caught.value)
        assert ":secret@" not in str(caught.value)
    with pytest.raises(SettingsError):
        options_of(OllamaOptions, "mine", {"api_key": "sk-123"}).credentials("mine")
    monkeypatch.setenv("TEAM", "blue")
    assert options_of(OllamaOptions, "mine", {"headers": {"X-Team": "env:TEAM", "X-B": "c"}}).credentials("mine") == {
        "x-team": "blue",
        "x-b": "c",
    }


def test_how_likely_a_token_was_is_asked_for_and_told_of_one_alone() -> None:
    assert chat_body("m", {}, [], GenerationOptions(logprobs=True), keep_alive=None)["logprobs"] is True
    assert "logprobs" not in chat_body("m", {}, [], GenerationOptions(), keep_alive=None)
    one = [{"token": "a", "logprob": -0.25}]
    lines = [
        {"message": {"content": "a"}, "logprobs": told} for told in (one, one * 2, None, ["x"], [{"logprob": "x"}])
    ]
    reader = ReplyReader(GenerationOptions())
    events = [event for line in lines for event in reader.read(line)]
    assert [event.logprob for event in events if isinstance(event, TextDelta)] == [-0.25, None, None, None, None]
