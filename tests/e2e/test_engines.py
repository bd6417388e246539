"""Mai over several engines at once: their models in one list, and one engine taking over from another in mid-answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.program import STARTER, Installed

pytestmark = [pytest.mark.weights, pytest.mark.timeout(600)]

BEGINNING = "Once upon a time a dragon lived on a hill. Every morning it looked over the valley and sighed. "
ROOT = Path(__file__).parents[2]


@contextmanager
def engine(name: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A stand-in as a process of its own, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.standins.{name}", "--port", "0", *arguments],
        stdin=subprocess.PIPE,  # some end when it closes
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        told = re.search(r"\b\d{4,5}\b", process.stdout.readline())
        assert told is not None
        yield process, int(told[0])
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


@pytest.fixture
def mai(tmp_path: Path, starter_gguf: Path) -> Installed:
    installed = Installed(tmp_path)
    (installed.models / starter_gguf.name).symlink_to(starter_gguf)
    return installed


def use(mai: Installed, name: str, kind: str, **options: object) -> None:
    """Let Mai use one more backend."""
    settings = {"type": kind, "enabled": True, **options}
    mai.options += tuple(
        part for key, value in settings.items() for part in ("--set", f"backends.{name}.{key}={value}".lower())
    )


def sooner_or_later(holds: Callable[[], object]) -> bool:
    """Mai does not wait long for an engine that is late, as all are on a busy machine: each attempt is a new one."""
    return any(holds() for _ in range(6))


def test_the_models_of_three_engines_are_one_list(mai: Installed) -> None:
    with (
        engine("lmstudio", "--model", "qwen2.5-7b-instruct") as (_, lmstudio),
        engine("ollama", "--model", "llama3.2:3b") as (_, ollama),
        engine("openai", "--model", "mistral-small-24b") as (_, server),
    ):
        use(mai, "lmstudio", "lmstudio", url=f"127.0.0.1:{lmstudio}")
        use(mai, "ollama", "ollama", url=f"http://127.0.0.1:{ollama}")
        use(mai, "box", "openai-compatible", base_url=f"http://127.0.0.1:{server}/v1")
        use(mai, "box2", "openai-compatible", base_url=f"http://127.0.0.1:{server}/v1")
        expected = {
            STARTER: ["embedded"],
            "qwen2.5-7b-instruct": ["lmstudio"],
            "llama3.2:3b": ["ollama"],
            "mistral-small-24b": ["box", "box2"],
        }

        def placed() -> dict[str, list[str]]:
            return {row["model"]: [p["profile"]["backend"] for p in row["placements"]] for row in mai.json("models")}

        def answers(model: str) -> bool:
            if mai.run("switch", model).returncode:
                return False
            done = mai.run("chat", "Hello")
            assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr
            return bool(mai.json("why")["decision"]["move"] == "pin")

        assert sooner_or_later(lambda: placed() == expected), placed()
        assert sooner_or_later(lambda: re.search(r"mistral-small-24b.*box.*, box2", mai.run("models").stdout))
        assert sooner_or_later(lambda: answers("llama3.2:3b"))
        assert sooner_or_later(lambda: answers("box2/mistral-small-24b"))


def begun(mai: Installed) -> tuple[subprocess.Popen[str], str]:
    """An answer that LM Studio has begun, and what is shown of it."""
    for _ in range(6):
        chat = mai.start("chat", "Tell me a story about a dragon.")
        assert chat.stdout is not None
        shown = ""
        while len(shown) < 40:  # past the buffer, of which communicate() knows nothing
            piece = os.read(chat.stdout.fileno(), 40).decode()
            assert piece, chat.communicate()
            shown += piece
        if BEGINNING.startswith(shown):
            return chat, shown
        chat.communicate(timeout=200)
    raise AssertionError(f"LM Studio was not asked: {shown}")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_an_engine_that_dies_in_mid_answer_is_taken_over_from(mai: Installed, end: signal.Signals) -> None:
    arguments = ("--model", "qwen2.5-7b-instruct", "--token-seconds", "0.1", "--reply", BEGINNING * 40)
    with engine("lmstudio", *arguments) as (process, port):
        use(mai, "lmstudio", "lmstudio", url=f"127.0.0.1:{port}")
        mai.options += ("--set", "generation.token_deadline=6")
        assert sooner_or_later(lambda: mai.run("switch", "qwen2.5-7b-instruct").returncode == 0)
        chat, shown = begun(mai)
        os.kill(process.pid, end)
        rest, told = chat.communicate(timeout=200)
        assert chat.returncode == 0, told
        [question, answer] = mai.stored()
        assert question["content"] == "Tell me a story about a dragon."
        assert answer["model"] == STARTER
        assert answer["content"].strip() == (shown + rest).strip(), "what is kept is what was shown"
        words = answer["content"].split()
        assert len(words) > len(shown.split()) + 5, "and it went on"
        assert "Traceback" not in told
        assert f"{STARTER} " in told, "the person is told who goes on"
