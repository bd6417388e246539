"""What is heard between the real SDK and a server, and what of it is kept."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import lmstudio
import pytest

from tests.standins.lmstudio import LMStudioStandIn
from tests.standins.lmstudio.compare import compare
from tests.standins.lmstudio.exercise import exercise
from tests.standins.lmstudio.frames import Frame, read_frames
from tests.standins.lmstudio.redact import redacted

KEY = "qwen2.5-0.5b-instruct"
SECRETS = ("Wherefore", "handsome", "Hello", "stand-in. I am well", "ancient_oracle", "prophecy")

Record = Callable[..., list[Frame]]


@pytest.fixture
def record(standin: LMStudioStandIn, quick: None, tmp_path: Path) -> Iterator[Record]:
    """A conversation of the real SDK with the stand-in through the recorder, which is a process of its own."""
    processes: list[subprocess.Popen[str]] = []

    def run(*options: str) -> list[Frame]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        out = tmp_path / "frames.jsonl"
        command = ["-m", "tests.standins.lmstudio.record", "--listen", str(port), "--server", standin.host]
        process = subprocess.Popen(
            [sys.executable, *command, "--out", str(out), *options], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert str(port) in process.stdout.readline()
        _converse(f"127.0.0.1:{port}")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in (0, -signal.SIGINT)
        return read_frames(out)

    yield run
    for process in processes:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _converse(host: str) -> None:
    assert lmstudio.Client.is_valid_api_host(host)
    with lmstudio.Client(host) as client:
        client.list_downloaded_models()
        model = client.llm.load_new_instance(KEY, "mine", config={"contextLength": 2048})
        chat = lmstudio.Chat("You are the handsome ancient_oracle.")
        chat.add_user_message("Wherefore?")
        tool = {"type": "function", "function": {"name": "prophecy", "parameters": {"type": "object"}}}
        tool["function"]["parameters"]["properties"] = {"handsome": {}}  # type: ignore[index]
        config = {"stopStrings": ["Wherefore"], "rawTools": {"type": "toolArray", "tools": [tool]}}
        assert model.respond(chat, config=config).content
        model.tokenize("handsome")
        with pytest.raises(lmstudio.LMStudioServerError):
            client.llm.load_new_instance("absent")
        model.unload()


def test_a_recording_keeps_the_shape_and_not_the_words(record: Record) -> None:
    frames = record()
    text = "".join(frame.line() for frame in frames)
    assert not [secret for secret in SECRETS if secret in text]
    assert {frame.namespace for frame in frames} >= {"llm", "system"}
    auth = next(frame.message for frame in frames if "clientPasskey" in frame.message)
    assert auth["clientPasskey"] == "redacted"
    assert KEY in text
    result = compare(frames)
    assert result.same, list(result.lines())
    assert "llm.predict.toClientPacket[fragment]" not in result.unproven
    assert "embedding.embedString.returns" in result.unproven
    assert any("pathNotFound" in error for error in result.errors)


def test_the_words_are_kept_when_asked_for_but_never_the_passkey(record: Record) -> None:
    frames = record("--content")
    text = "".join(frame.line() for frame in frames)
    assert not [secret for secret in SECRETS if secret not in text and secret not in ("Hello", "stand-in. I am well")]
    assert '"content":"Hello"' in text
    passkeys = {frame.message["clientPasskey"] for frame in frames if "clientPasskey" in frame.message}
    assert passkeys == {"redacted"}


def test_a_comparison_names_what_differs() -> None:
    own = exercise()
    assert compare(own, own).same
    newer = []
    for frame in own:
        line = frame.line()
        line = line.replace('"tokensCount"', '"colour":"red","tokensCount"')  # unknown
        line = line.replace('"isStructural":false', '"isStructural":"no"')  # of another type
        line = line.replace('"sizeBytes"', '"bytes"')  # missing
        line = line.replace('"countTokens"', '"weighTokens"')  # never heard of
        newer.append(Frame(**json.loads(line)))
    result = compare(newer, own)
    assert not result.same
    assert "llm.predict.toClientPacket[fragment].fragment.colour" in result.unknown
    assert "system.listDownloadedModels.returns[].sizeBytes" in result.missing
    assert "llm.predict.toClientPacket[fragment].fragment.isStructural: text" in result.types
    assert "llm.weighTokens.returns" in result.unheard
    assert any("colour" in violation for violation in result.violations)
    text = "\n".join(result.lines())
    assert "colour" in text
    assert "differs" in text


def test_the_comparison_is_a_command(tmp_path: Path) -> None:
    kept = tmp_path / "frames.jsonl"
    kept.write_text("".join(frame.line() for frame in exercise()))
    command = [sys.executable, "-m", "tests.standins.lmstudio.compare", str(kept)]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    kept.write_text(kept.read_text().replace('"stopReason"', '"stopCause"'))
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert "stopCause" in bad.stdout


def test_redaction_keeps_to_the_schema() -> None:
    from tests.standins.lmstudio.frames import check

    own = exercise()
    assert list(check(replace(frame, message=redacted(frame.message)) for frame in own)) == []


def test_a_field_nobody_knows_is_private() -> None:
    message = {"type": "channelSend", "message": {"type": "fragment", "diary": "dear diary", "n": 3}}
    assert redacted(message)["message"] == {"type": "fragment", "diary": "<10 characters>", "n": 3}


def test_the_words_of_a_failed_tool_call_are_private() -> None:
    packet = {"type": "toolCallGenerationFailed", "error": {"title": "cannot parse: dear diary"}, "rawContent": "dear"}
    assert "dear" not in json.dumps(redacted(packet))
    assert redacted(packet)["type"] == "toolCallGenerationFailed"
