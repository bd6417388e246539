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
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.standins.lmstudio import LMStudioStandIn
from tests.standins.lmstudio.compare import compare
from tests.standins.lmstudio.exercise import exercise
from tests.standins.lmstudio.frames import Frame, read_frames
from tests.standins.lmstudio.record import SCRIPT
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


def _command(name: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tests.standins.lmstudio.{name}", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_what_is_no_recording_is_called_so_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "prose").write_text("Dear diary\n")
    (tmp_path / "empty").write_text("")
    for name, why in (("absent", "No such file"), ("prose", "line 1 is no frame"), ("empty", "is an empty recording")):
        refused = _command("compare", tmp_path / name)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
        assert why in refused.stderr


def test_a_recorder_that_cannot_begin_says_why_in_a_line_and_overwrites_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "frames.jsonl"
    kept.write_text("an earlier recording")
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        taken = _command("record", "--server", "box:1", "--out", kept, "--listen", busy.getsockname()[1])
        port = free.getsockname()[1]
    assert (taken.returncode, len(taken.stderr.splitlines())) == (2, 1), taken.stderr
    assert "Address already in use" in taken.stderr
    there = _command("record", "--server", "box:1", "--out", kept, "--listen", port)
    assert (there.returncode, len(there.stderr.splitlines())) == (2, 1), there.stderr
    assert "File exists" in there.stderr
    assert kept.read_text() == "an earlier recording"


@pytest.mark.parametrize("server", ["nonsense", "box", "box:", "box:0", "box:99999", "a b:1234", "https://box:1234"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, server: str) -> None:
    refused = _command("record", "--listen", 1, "--server", server, "--out", tmp_path / "frames.jsonl")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("python -m tests.standins.lmstudio.record: error: argument --ser")
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        absent, port = one.getsockname()[1], other.getsockname()[1]
    options = ["--listen", str(port), "--server", f"http://127.0.0.1:{absent}/", "--out", str(tmp_path / "f")]
    command = [sys.executable, "-m", "tests.standins.lmstudio.record", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as recorder:
        try:
            assert recorder.stdout is not None
            assert f"-> 127.0.0.1:{absent}" in recorder.stdout.readline()
            assert not lmstudio.Client.is_valid_api_host(f"127.0.0.1:{port}")
            assert recorder.stdout.readline() == f"127.0.0.1:{absent} does not answer: ConnectError\n"
            with pytest.raises(ConnectionClosed), connect(f"ws://127.0.0.1:{port}/llm") as near:
                near.recv(timeout=5)
            assert recorder.stdout.readline() == f"127.0.0.1:{absent} takes no connection: ConnectionRefusedError\n"
        finally:
            recorder.kill()
        assert recorder.stderr is not None
        assert recorder.stderr.read() == ""


def test_the_help_and_the_page_tell_a_person_what_to_do() -> None:
    told = _command("record", "--help").stdout
    page = (Path(__file__).parents[3] / "docs" / "backends.md").read_text()
    for line in SCRIPT.splitlines():
        assert f"       {line}\n" in told
        assert f"\n{line}\n" in page
    for step in ("record --server 127.0.0.1:1234 --listen 1235 --out frames.jsonl", "compare frames.jsonl", "issue"):
        assert step in told
        assert step in page
