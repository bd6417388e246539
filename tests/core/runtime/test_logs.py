"""The log: what is in it, who shares it, and how it is read while it is written."""

from __future__ import annotations

import fcntl
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

import pytest

from mai_core.errors import ModelCrashed
from mai_core.runtime.logs import LogEntry, configure, follow, tail
from mai_core.settings.model import LogSettings

ROOT = Path(__file__).parents[3]
log = logging.getLogger("mai.test")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "mai.log"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    logger, root = logging.getLogger("mai"), logging.getLogger()
    before = (list(logger.handlers), logger.level, logger.propagate, list(root.handlers), root.level)
    yield
    assert (list(logger.handlers), logger.level, logger.propagate, list(root.handlers), root.level) == before


def messages(entries: Iterator[LogEntry]) -> list[str]:
    return [entry.message for entry in entries]


def test_a_record_is_one_line_of_json(file: Path) -> None:
    with configure(file, LogSettings()) as session:
        assert session.warning == ""
        log.info("model switched", extra={"previous": None, "current": "smol", "seconds": 0.5})
    told = json.loads(file.read_text())
    assert told.pop("time").endswith("+00:00")
    assert told.pop("pid") > 0
    assert told == {
        "level": "INFO",
        "logger": "mai.test",
        "message": "model switched",
        "previous": None,
        "current": "smol",
        "seconds": 0.5,
    }
    (entry,) = tail(file)
    assert (entry.level, entry.logger, entry.message) == ("info", "mai.test", "model switched")
    assert entry.fields == {"previous": None, "current": "smol", "seconds": 0.5}


def test_importing_installs_nothing() -> None:
    script = (
        "import logging, mai_core.runtime.logs, mai_core.runtime.presence, mai_core.runtime.store, sys\n"
        "names = ['root', *logging.root.manager.loggerDict]\n"
        "found = [h for n in names if n == 'root' or n.startswith('mai') for h in logging.getLogger(n).handlers]\n"
        "sys.exit(any(type(h) is not logging.NullHandler for h in found))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_after_close_nothing_more_is_written(file: Path) -> None:
    session = configure(file, LogSettings())
    log.info("in")
    session.close()
    session.close()
    log.warning("out")
    assert messages(tail(file)) == ["in"]


def test_the_level_is_the_settings(file: Path) -> None:
    with configure(file, LogSettings(level="warning")):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            log.log(level, logging.getLevelName(level))
    assert messages(tail(file)) == ["WARNING", "ERROR"]
    assert messages(tail(file, level="error")) == ["ERROR"]


def test_verbose_shows_everything_on_standard_error_and_keeps_the_files_level(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with configure(file, LogSettings(level="warning"), verbose=True):
        log.debug("looked at %s pools", 2, extra={"host": "local", "prompt": "my secret"})
        log.warning("memory is short")
    shown = capsys.readouterr()
    assert "debug mai.test: looked at 2 pools host=local" in shown.err
    assert "secret" not in shown.err
    assert shown.out == ""
    assert messages(tail(file)) == ["memory is short"]


def fail(said: str) -> None:
    try:
        int(said)
    except ValueError as error:
        raise ModelCrashed("the engine died", detail=said) from error


def test_what_people_and_models_write_stays_out(file: Path) -> None:
    with configure(file, LogSettings()):
        said = "my secret"
        log.info("turn", extra={"prompt": said, "event": {"reply": said, "tokens": 3}, "text": said, "key": "k"})
        try:
            fail(said)
        except ModelCrashed:
            log.exception("trouble", extra={"content": said})
    assert said not in file.read_text()
    turn, trouble = tail(file)
    assert turn.fields == {"event": {"tokens": 3}, "key": "k"}
    told = trouble.fields["exc_info"]
    assert "ModelCrashed: the engine died" in told
    assert "in fail" in told
    assert "ValueError" in told


def test_unless_the_settings_ask_for_it(file: Path) -> None:
    with configure(file, LogSettings(content=True)):
        log.info("turn", extra={"prompt": "my secret"})
    (entry,) = tail(file)
    assert entry.fields == {"prompt": "my secret"}


def test_other_handlers_see_the_record_whole(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with configure(file, LogSettings()):
        log.info("turn", extra={"prompt": "theirs"})
    assert vars(caplog.records[-1])["prompt"] == "theirs"


@pytest.mark.parametrize("name", ["file/mai.log", "folder"])
def test_a_log_that_cannot_be_written_is_one_line_and_no_crash(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with configure(tmp_path / name, LogSettings()) as session:
        log.error("lost")
    assert session.warning.startswith(f"no log is kept: {tmp_path / name} cannot be written (")
    assert "\n" not in session.warning
    assert capsys.readouterr().err == ""


def test_a_log_file_deleted_meanwhile_is_begun_again(file: Path) -> None:
    with configure(file, LogSettings()):
        log.info("one")
        file.unlink()
        log.info("two")
    assert messages(tail(file)) == ["two"]


def test_the_files_are_private(file: Path) -> None:
    with configure(file, LogSettings(max_bytes=200, files=2)):
        for n in range(5):
            log.info("record %d", n)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}


def lines_of(*files: Path) -> list[str]:
    return [json.loads(line)["message"] for path in files for line in path.read_text().splitlines()]


@pytest.mark.parametrize("files", [1, 2, 3])
def test_full_files_are_rotated_and_the_oldest_dropped(file: Path, files: int) -> None:
    with configure(file, LogSettings(max_bytes=1_000, files=files)):
        for n in range(100):
            log.info("record %d", n)
    kept = [file.with_name(f"mai.log.{n}") for n in range(files - 1, 0, -1)] + [file]
    assert {path.name for path in file.parent.glob("mai.log*")} == {path.name for path in kept} | {"mai.log.lock"}
    assert all(0 < path.stat().st_size <= 1_000 for path in kept)
    left = lines_of(*kept)
    assert left == [f"record {n}" for n in range(100 - len(left), 100)]
    assert messages(tail(file, lines=1_000)) == left
    assert messages(tail(file, lines=9)) == left[-9:]


def test_a_record_larger_than_a_file_is_kept_whole(file: Path) -> None:
    with configure(file, LogSettings(max_bytes=100, files=2)):
        log.info("small")
        log.info("x" * 5_000)
        log.info("y" * 5_000)
    assert messages(tail(file)) == ["x" * 5_000, "y" * 5_000]


def test_zero_bytes_means_never_rotated(file: Path) -> None:
    with configure(file, LogSettings(max_bytes=0)):
        for n in range(50):
            log.info("record %d", n)
    assert len(lines_of(file)) == 50


def test_processes_share_the_file_and_lose_nothing(file: Path) -> None:
    script = (
        "import logging, sys; from pathlib import Path; from mai_core.runtime.logs import configure\n"
        "from mai_core.settings.model import LogSettings\n"
        "session = configure(Path(sys.argv[1]), LogSettings(max_bytes=20_000, files=1_000)); sys.stdin.readline()\n"
        "for n in range(400): logging.getLogger('mai.x').info('%s %d %s', sys.argv[2], n, 'x' * (n * 37 % 3_000))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(file), name], cwd=ROOT, stdin=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    told = messages(tail(file, lines=10_000))
    rotated = [path for path in file.parent.glob("mai.log.*") if path.suffix != ".lock"]
    assert len(rotated) > 20
    assert min(path.stat().st_size for path in rotated) > 16_000, "a file two found full at once is rotated once"
    for name in "abc":
        own = [message for message in told if message.startswith(name)]
        assert own == [f"{name} {n} {'x' * (n * 37 % 3_000)}" for n in range(400)]


def test_torn_and_foreign_lines_are_passed_over(file: Path) -> None:
    with configure(file, LogSettings()):
        log.info("one")
        with file.open("a") as other:
            other.write('{"half": \nplain text\n[1]\n"x"\nnull\n{}\n\xff\n')
        log.info("two")
    with file.open("a") as other:
        other.write('{"time": "now", "level": "info"')
    assert messages(tail(file)) == ["one", "two"]


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert list(tail(tmp_path / "mai.log")) == []
    assert list(tail(tmp_path / "nowhere" / "mai.log")) == []


def test_following_gives_the_last_and_then_the_new_across_rotations(file: Path) -> None:
    """Each wait stands for a moment in which others write; some fill several files."""
    bursts = [[], ["a"], [f"b{n}" for n in range(40)], [], ["c"]]
    pending = iter(bursts)
    with configure(file, LogSettings(max_bytes=1_000, files=50)):
        for n in range(5):
            log.info("old %d", n)

        def write(_: float) -> None:
            for message in next(pending):
                log.info(message)

        following = follow(file, lines=2, wait=write)
        new = [message for burst in bursts for message in burst]
        assert messages(islice(following, 2 + len(new))) == ["old 3", "old 4", *new]
        following.close()  # type: ignore[attr-defined]


def test_files_are_not_read_while_they_change_their_names(file: Path) -> None:
    with configure(file, LogSettings()):
        log.info("one")
    with file.with_name("mai.log.lock").open("rb") as guard, ThreadPoolExecutor() as threads:
        fcntl.flock(guard, fcntl.LOCK_EX)
        reader = threads.submit(lambda: messages(tail(file)))
        assert wait([reader], timeout=0.3).not_done
        file.rename(file.with_name("mai.log.1"))
        fcntl.flock(guard, fcntl.LOCK_UN)
        assert reader.result(5) == ["one"]


def test_following_waits_for_the_end_of_a_line_and_for_a_file(file: Path) -> None:
    file.parent.mkdir()
    line = '{"time": "now", "level": "warning", "logger": "mai", "message": "late"}\n'
    parts = iter(["", line[:20], line[20:]])

    def write(_: float) -> None:
        with file.open("a") as other:
            other.write(next(parts))

    (entry,) = islice(follow(file, wait=write), 1)
    assert entry.message == "late"


def test_following_keeps_to_the_level(file: Path) -> None:
    with configure(file, LogSettings(level="debug")):
        log.info("old")

        def write(_: float) -> None:
            log.info("new")
            log.error("bad")

        assert messages(islice(follow(file, level="warning", wait=write), 1)) == ["bad"]
