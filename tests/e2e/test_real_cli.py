"""The program as a person has it, on a real engine: answers, and whatever breaks, nothing is lost or left running."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.program import STARTER, Installed

TALE = "Write a very long story about a dragon, in many chapters."
AT_LENGTH = ("--set", "generation.max_tokens=150")

pytestmark = [pytest.mark.weights, pytest.mark.timeout(120)]


@pytest.fixture
def mai(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


@pytest.fixture
def ready(mai: Installed, starter_gguf: Path) -> Installed:
    (mai.models / starter_gguf.name).symlink_to(starter_gguf)
    return mai


@pytest.fixture
def telling(ready: Installed) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """Mai in the middle of a long reply, and its worker."""
    process = ready.start(*AT_LENGTH, "chat", TALE)
    assert process.stdout is not None
    assert process.stdout.read(20), "the reply has begun"
    [worker] = psutil.Process(process.pid).children(recursive=True)
    yield process, worker
    process.kill()
    process.communicate()
    if worker.is_running():
        worker.kill()


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def is_one_line(done: subprocess.CompletedProcess[str]) -> bool:
    return done.stderr.startswith("mai: ") and done.stderr.count("\n") == 1 and " → " in done.stderr


def test_one_answer_and_the_reason_for_it(ready: Installed) -> None:
    done = ready.run("chat", "What is the capital of France?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Paris" in done.stdout
    assert "\x1b" not in done.stdout
    assert [(m["role"], m["model"]) for m in ready.stored()] == [("user", ""), ("assistant", STARTER)]
    assert ready.json("why")["decision"]["choice"] == STARTER


def test_a_pipe_is_answered_and_the_conversation_goes_on(ready: Installed) -> None:
    assert "Paris" in ready.run("chat", stdin="What is the capital of France?\n").stdout
    done = ready.run("chat", "-c", "And of Spain?")
    assert done.returncode == 0
    assert len(ready.stored()) == 4


def test_a_worker_killed_in_mid_reply_is_replaced_and_the_reply_goes_on(
    ready: Installed, telling: tuple[subprocess.Popen[str], psutil.Process]
) -> None:
    process, worker = telling
    worker.kill()
    rest, remarks = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "killed by SIGKILL; it was started again" in remarks
    asked, answer = ready.stored()
    assert (asked["content"], answer["stop"]) == (TALE, "length")
    assert answer["content"].strip().endswith(rest.strip()[-40:])
    assert gone(worker)


def test_mai_killed_leaves_no_worker_and_keeps_what_was_asked(
    ready: Installed, telling: tuple[subprocess.Popen[str], psutil.Process]
) -> None:
    process, worker = telling
    process.kill()
    assert eventually(lambda: gone(worker))
    assert ready.stored()[0]["content"] == TALE
    assert ready.json("status")["processes"] == []


def test_terminated_it_ends_in_order_and_keeps_what_was_said(
    ready: Installed, telling: tuple[subprocess.Popen[str], psutil.Process]
) -> None:
    process, worker = telling
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert gone(worker)
    assert [m["stop"] for m in ready.stored()] == [None, "cancelled"]


def test_two_at_once(ready: Installed) -> None:
    both = [ready.start("chat", f"What is the capital of {country}?") for country in ("France", "Italy")]
    answers = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all(answer.strip() for answer in answers)
    assert len(ready.json("history")) == 2


def test_broken_files_beside_a_good_one_are_named_and_passed_over(ready: Installed) -> None:
    good = next(ready.models.iterdir())
    (ready.models / "empty.gguf").touch()
    (ready.models / "garbage.gguf").write_bytes(os.urandom(5000))
    with good.open("rb") as whole:
        (ready.models / "truncated.gguf").write_bytes(whole.read(4_000_000))
    rows = {row["model"]: row for row in ready.json("models")}
    assert rows.pop(STARTER)["fit"] == "fits"
    assert {key: row["fit"] for key, row in rows.items()} == dict.fromkeys(("empty", "garbage", "truncated"), "broken")
    table = ready.run("models")
    assert table.returncode == 0
    assert all(f"broken  {key}.gguf is" in table.stdout for key in rows)
    told = ready.run("chat", "-m", "truncated", "What is the capital of France?")
    assert "Paris" in told.stdout
    assert f"truncated cannot answer, {STARTER} does: truncated.gguf is truncated" in told.stderr


def test_offline_on_first_use(mai: Installed) -> None:
    mai.variables = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = mai.run("chat", "Remember me")
    assert (done.returncode, done.stdout) == (1, "")
    assert is_one_line(done)
    assert "cannot be reached" in done.stderr
    assert mai.json("history")[0]["title"] == "Remember me"


def test_a_damaged_database_is_named_and_left_as_it_is(ready: Installed) -> None:
    database = ready.home / "data" / "mai.db"
    damaged = b"no database at all " * 500
    database.write_bytes(damaged)
    done = ready.run("chat", "Hello")
    assert done.returncode == 1
    assert is_one_line(done)
    assert "mai.db is damaged" in done.stderr
    assert database.read_bytes() == damaged


def test_a_half_written_settings_file_is_named_with_its_line(ready: Installed) -> None:
    file = Path(ready.run("config", "path").stdout.strip())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("selection:\n  arbiter: [fir")
    done = ready.run("chat", "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert "mai.yaml:2: not valid YAML" in done.stderr
    assert file.read_text() == "selection:\n  arbiter: [fir"


def test_what_models_take_is_asked_measured_and_then_told_as_learned(ready: Installed, second_gguf: Path) -> None:
    asked = ready.run("models", "--estimate", "/no/where.gguf", str(second_gguf), STARTER)
    assert asked.returncode == 1
    assert "/no/where.gguf" in asked.stderr
    assert asked.stdout.count("Fits now  yes") == asked.stdout.count("from its header") == 2
    (measured,) = ready.json("calibrate", "--seconds", "5")["models"]
    assert measured["key"] == STARTER
    assert abs(measured["memory"]["error"]) < 0.05
    (learned,) = ready.json("models", "--estimate", STARTER)
    assert learned["estimate"]["basis"] == "learned"
