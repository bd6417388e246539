"""Notes of running processes: kept, found, private, and removed with the process."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai_core.policy.models import Footprint, LoadedModel, LoadPlan
from mai_core.runtime.presence import Presence, ProcessNote, others
from mai_core.runtime.store.codec import encode

ROOT = Path(__file__).parents[3]
MODEL = LoadedModel(
    instance="smol#1",
    key="smol",
    backend="embedded",
    plan=LoadPlan(context=2048),
    footprint=Footprint(100, 200, {"gpu0": 3}),
    pid=4711,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "processes"


@pytest.fixture
def neighbour(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has left its note and waits."""
    script = (
        "import sys; from pathlib import Path; from mai_core.runtime.presence import Presence\n"
        "with Presence(Path(sys.argv[1]), command='mai chat') as p:\n"
        "    p.update(state='answering', model='smol'); print('ready', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_seen_until_it_leaves(folder: Path, neighbour: subprocess.Popen[str]) -> None:
    (note,) = others(folder)
    assert (note.pid, note.command, note.state, note.model) == (neighbour.pid, "mai chat", "answering", "smol")
    neighbour.communicate("")
    assert others(folder) == []
    assert list(folder.iterdir()) == []


def test_a_killed_process_is_gone_at_once_and_its_note_cleared_away(
    folder: Path, neighbour: subprocess.Popen[str]
) -> None:
    neighbour.kill()
    os.waitid(os.P_PID, neighbour.pid, os.WEXITED | os.WNOWAIT)  # dead, but not yet waited for by its parent
    (folder / f"{neighbour.pid}.tmp").write_text("{")
    assert others(folder) == []
    assert list(folder.iterdir()) == []


def test_a_note_says_what_the_process_does_now(folder: Path) -> None:
    with Presence(folder, command="mai chat", started=5.0) as presence:
        assert others(folder) == [presence.note]
        presence.update(state="loading", loaded=(MODEL,), conversation="abc")
        presence.update(state="idle")
        (note,) = others(folder)
        assert note == presence.note
        assert (note.pid, note.started, note.state) == (os.getpid(), 5.0, "idle")
        assert (note.loaded, note.conversation, note.model) == ((MODEL,), "abc", None)
    assert others(folder) == []


def test_a_closed_note_does_not_come_back(folder: Path) -> None:
    presence = Presence(folder)
    presence.close()
    presence.update(model="late")
    presence.close()
    assert list(folder.iterdir()) == []


def test_the_note_is_written_only_when_something_changed(folder: Path) -> None:
    with Presence(folder) as presence:
        presence.update(model="smol")
        file = folder / f"{os.getpid()}.json"
        before = file.stat()
        presence.update(model="smol", state="idle")
        assert file.stat().st_ino == before.st_ino
        presence.update(state="answering")
        assert file.stat().st_ino != before.st_ino, "a new file takes the place of the old one, whole"


def test_notes_are_private(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    with Presence(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_later_process_with_the_same_number_is_not_taken_for_the_first(folder: Path) -> None:
    with Presence(folder) as presence:
        note = presence.note
    stale = ProcessNote(pid=note.pid, born=note.born - 3_600, started=note.started)
    (folder / f"{note.pid}.json").write_text(encode(stale))
    assert others(folder) == []
    assert list(folder.iterdir()) == []


def test_half_written_and_foreign_files_are_passed_over_and_left(folder: Path) -> None:
    with Presence(folder) as presence:
        whole = encode(presence.note)
        foreign = {
            "1.json": whole[:20],
            "2.json": "",
            "3.json": json.dumps({"pid": 3}),
            "4.json": whole,
            "5.json": "\x00\xff",
            "readme.txt": "hello",
        }
        for name, content in foreign.items():
            (folder / name).write_text(content)
        (folder / "6.json").mkdir()
        assert others(folder) == [presence.note]
    assert {file.name for file in folder.iterdir()} == {*foreign, "6.json"}


def test_no_folder_means_no_processes(folder: Path) -> None:
    assert others(folder) == []


def test_a_note_that_cannot_be_written_disturbs_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    with Presence(tmp_path / "file" / "processes") as presence:
        presence.update(model="smol")
        assert presence.note.model == "smol"
    assert "cannot be written" in caplog.text
