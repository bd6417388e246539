"""The store under bad files, full disks, other processes and sudden death."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Timer

import pytest

from mai_core.errors import StoreError
from mai_core.policy.messages import Message, Role
from mai_core.runtime.store import Store, database

ROOT = Path(__file__).parents[2]
PRELUDE = """
import resource, sys, time
from pathlib import Path
from mai_core.errors import StoreError
from mai_core.policy.messages import Message, Role
from mai_core.runtime.store import Store
def say(store, id, text): return store.append(id, Message(role=Role.USER, content=text))
"""


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def opened(path: Path) -> Store:
    return Store.open(path, now=time.time)


def say(store: Store, id: str, text: str) -> Message:
    return store.append(id, Message(role=Role.USER, content=text))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mai.db"


# Sudden death


@pytest.mark.parametrize("seed", range(8))
def test_every_message_whose_append_returned_survives_a_kill(path: Path, seed: int) -> None:
    opened(path).close()
    writer = child(
        """
        store = Store.open(Path(sys.argv[1]), now=time.time)
        id = store.new_conversation().id
        print(id, flush=True)
        for n in range(1_000_000):
            print(say(store, id, f"message {n} " + "x" * (n * 977 % 20_000)).id, flush=True)
        """,
        path,
    )
    assert writer.stdout is not None
    conversation = writer.stdout.readline().strip()
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    writer.send_signal(signal.SIGKILL)
    acknowledged = [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    writer.wait()

    store = opened(path)
    messages = store.conversation(conversation).messages
    store.close()
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    # The one being written at that moment may or may not be there, and is whole if it is.
    assert len(acknowledged) <= len(messages) <= len(acknowledged) + 1
    assert [m.id for m in messages] == list(range(1, len(messages) + 1))
    assert [m.content for m in messages] == [f"message {n} " + "x" * (n * 977 % 20_000) for n in range(len(messages))]
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


# Two at once


def test_processes_that_open_and_write_at_once_all_get_through_in_order(path: Path) -> None:
    script = """
        store = Store.open(Path(sys.argv[1]), now=time.time)
        own = store.new_conversation().id
        shared = sys.argv[2] if len(sys.argv) > 2 else own
        for n in range(100):
            say(store, own, f"{n}"); say(store, shared, f"{own} {n}")
        print(own)
    """
    writers = [child(script, path) for _ in range(3)]
    for writer in writers:
        output, _ = writer.communicate(timeout=100)
        assert writer.returncode == 0
        store = opened(path)
        messages = store.conversation(output.strip()).messages
        store.close()
        assert [m.content for m in messages] == [t for n in range(100) for t in (f"{n}", f"{output.strip()} {n}")]


def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """Connections of one process stand for processes here: their locks are the same, and they meet more closely."""
    for attempt in range(25):
        barrier = Barrier(4)

        def open_one(path: Path = tmp_path / f"{attempt}.db", barrier: Barrier = barrier) -> None:
            barrier.wait()
            opened(path).close()

        with ThreadPoolExecutor(4) as threads:
            for result in [threads.submit(open_one) for _ in range(4)]:
                result.result()


def test_a_file_that_is_busy_while_it_is_prepared_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then SQLite answers so at once, whatever the timeout; here it does so for certain."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    answers = [busy, busy]
    real = database.prepare

    def prepare(connection: sqlite3.Connection, path: Path) -> None:
        if answers:
            raise answers.pop()
        real(connection, path)

    monkeypatch.setattr(database, "prepare", prepare)
    store = opened(path)
    assert say(store, store.new_conversation().id, "Hello")
    store.close()


def test_processes_in_one_conversation_keep_each_ones_order(path: Path) -> None:
    store = opened(path)
    shared = store.new_conversation().id
    script = """
        store = Store.open(Path(sys.argv[1]), now=time.time)
        for n in range(100):
            say(store, sys.argv[2], f"{sys.argv[3]} {n}")
    """
    writers = [child(script, path, shared, name) for name in "ab"]
    assert [writer.wait(100) for writer in writers] == [0, 0]
    messages = store.conversation(shared).messages
    store.close()
    assert [m.id for m in messages] == list(range(1, 201))
    for name in "ab":
        assert [m.content for m in messages if m.content[0] == name] == [f"{name} {n}" for n in range(100)]


def test_a_writer_waits_for_another_one(path: Path) -> None:
    release = path.with_name("release")
    store = opened(path)
    id = store.new_conversation().id
    holder = child(
        """
        store = Store.open(Path(sys.argv[1]), now=time.time)
        with store._writing():
            print("holding", flush=True)
            while not Path(sys.argv[2]).exists():
                time.sleep(0.01)
        """,
        path,
        release,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    store.pinned()
    assert holder.poll() is None, "a reader has to wait for nobody"
    releasing = Timer(1.0, release.touch)
    releasing.start()
    say(store, id, "after you")
    assert release.exists(), "it wrote while another one did"
    releasing.join()
    assert holder.wait(60) == 0
    store.close()


# Bad files


def filled(path: Path) -> bytes:
    store = opened(path)
    id = store.new_conversation().id
    for n in range(50):
        say(store, id, f"{n} " * 1_000)
    store.close()
    return path.read_bytes()


BAD_FILES = {
    "garbage": lambda whole: b"no database at all " * 500,
    "truncated": lambda whole: whole[: len(whole) // 2],
    "a torn header": lambda whole: whole[:50],
    "schema overwritten": lambda whole: whole[:100] + b"\xff" * 8_000 + whole[8_100:],
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_damaged_file_is_named_with_the_remedy_and_left_alone(path: Path, name: str) -> None:
    bad = BAD_FILES[name](filled(path))
    path.write_bytes(bad)
    with pytest.raises(StoreError, match="damaged") as caught:
        opened(path)
    assert str(path) in caught.value.message
    assert f"move {path}* to another folder" in caught.value.remedy
    assert path.read_bytes() == bad


def test_damage_found_later_is_a_store_error_too(path: Path) -> None:
    whole = filled(path)
    sound = len(whole) // 2  # the schema is read when a database is opened; what was said stands behind it
    path.write_bytes(whole[:sound] + b"\xff" * (len(whole) - sound))
    store = opened(path)
    with pytest.raises(StoreError, match="damaged"):
        store.conversations(search="49")
    store.close()
    assert path.read_bytes()[sound:] == b"\xff" * (len(whole) - sound)


def test_following_the_remedy_starts_a_new_history(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"garbage" * 1_000)
    Path(f"{path}-wal").write_bytes(b"garbage" * 1_000)
    with pytest.raises(StoreError):
        opened(path)
    aside = tmp_path / "aside"
    aside.mkdir()
    for file in tmp_path.glob("mai.db*"):
        shutil.move(file, aside)
    store = opened(path)
    assert store.conversations() == []
    store.close()


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.touch()
    store = opened(path)
    say(store, store.new_conversation().id, "Hello")
    store.close()


def test_another_programs_database_is_not_touched(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        opened(path)
    assert path.read_bytes() == before


def test_a_newer_mais_database_is_not_touched(path: Path) -> None:
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer Mai; update Mai"):
        opened(path)
    assert path.read_bytes() == before


# Folders


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"file/data/mai\.db cannot be opened.*MAI_HOME"):
        opened(tmp_path / "file" / "data" / "mai.db")


def test_a_folder_where_the_file_should_be(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"mai\.db cannot be"):
        opened(path)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that nobody but its owner may write to, with a database that nobody else may either."""
    folder = Path(tempfile.mkdtemp())
    filled(folder / "mai.db")
    (folder / "mai.db").chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("file", ["mai.db", "new.db"])
def test_a_folder_that_cannot_be_written(read_only: Path, file: str) -> None:
    attempt = child(
        """
        import os
        if os.getuid() == 0:  # whom no permission stops
            os.setuid(65534)
        try:
            store = Store.open(Path(sys.argv[1]), now=time.time)
            say(store, store.new_conversation().id, "x")
        except StoreError as error:
            print(error)
        """,
        read_only / file,
    )
    output, _ = attempt.communicate(timeout=60)
    assert attempt.returncode == 0
    assert f"{read_only / file} cannot be" in output
    assert "MAI_HOME" in output


# Full disks


def test_a_full_disk_is_told_and_what_was_stored_stays(path: Path) -> None:
    store = opened(path)
    id = store.new_conversation().id
    store._connection.execute("PRAGMA max_page_count = 60")
    kept: list[Message] = []
    with pytest.raises(StoreError, match=r"no room left.*free some disk space"):
        kept.extend(say(store, id, f"{n} " * 1_000) for n in range(100))
    assert len(kept) > 3
    assert store.conversation(id).messages == tuple(kept)
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert say(store, id, "room again").id == len(kept) + 1
    store.close()


def test_a_disk_that_refuses_to_write_is_told_and_what_was_stored_stays(path: Path) -> None:
    """The limit on file size makes the system call itself fail, as a full disk does."""
    writer = child(
        """
        store = Store.open(Path(sys.argv[1]), now=time.time)
        id = store.new_conversation().id
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        kept = 0
        try:
            while True:
                say(store, id, f"{kept} " + "x" * 20_000); kept += 1
        except StoreError as error:
            print(kept, error)
        """,
        path,
    )
    output, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0
    count, _, message = output.strip().partition(" ")
    assert int(count) > 3
    assert "space" in message
    assert str(path) in message
    store = opened(path)
    (conversation,) = store.conversations()
    assert conversation.messages == int(count)
    store.close()
