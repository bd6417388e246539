"""The conversation in a real pseudo-terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from fakes import LARGE, SMALL

ROOT = Path(__file__).parents[2]
FAKE = str(Path(__file__).with_name("fakes.py"))
CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]|\x1b\][^\x07]*\x07|[\r\x07]")


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAI_", "NO_COLOR", "FORCE_"))}
    return kept | {
        "MAI_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }


class Terminal:
    """A person at a terminal with ``mai chat`` in it."""

    def __init__(self, home: Path, *arguments: str, **extra: str) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            [FAKE, *arguments],
            env=environment(home) | extra,
            dimensions=(30, 90),
            encoding="utf-8",
            timeout=20,
        )
        self.child.delaybeforesend = 0.05

    def expect(self, text: str) -> str:
        """Wait for a text; returns what was shown before it, without escape sequences."""
        self.child.expect_exact(text)
        return CONTROL.sub("", self.child.before or "")

    def say(self, line: str) -> None:
        self.child.send(line)
        self.child.send("\r")

    def prompt(self) -> str:
        return self.expect("› ")

    def ends(self) -> int:
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -(self.child.signalstatus or 0)


@pytest.fixture
def chat(home: Path) -> Iterator[Terminal]:
    terminal = Terminal(home, "chat")
    yield terminal
    terminal.child.close(force=True)


def test_a_conversation(chat: Terminal, home: Path) -> None:
    chat.prompt()
    chat.say("hello there")
    chat.expect("You said: hello there")
    chat.prompt()
    chat.child.sendeof()
    assert chat.ends() == 0
    assert (home / "state" / "scripted.log").read_text().splitlines()[-1] == "shutdown"


def test_markdown_is_rendered(chat: Terminal) -> None:
    chat.prompt()
    chat.say("markdown")
    seen = chat.expect("The end.")
    assert "• one" in seen
    assert "**bold**" not in seen


def test_a_reply_that_another_model_finishes_is_read_whole(chat: Terminal) -> None:
    chat.prompt()
    chat.say("fall late")
    chat.expect("Half an answer")
    chat.expect(f"{LARGE.key} takes over")  # below the reply, until it goes on
    chat.expect("Half an answer and the rest.")
    between = chat.expect(f"{SMALL.key}: the model's process ended (signal 9);")
    assert not between.strip()
    chat.expect(f"{LARGE.key} took over")


def test_ctrl_c_stops_the_reply_and_not_the_program(chat: Terminal, home: Path) -> None:
    chat.prompt()
    chat.say("slow please")
    chat.expect("word5")
    chat.child.sendintr()
    chat.expect("stopped")
    chat.prompt()
    assert (home / "state" / "scripted.log").read_text().splitlines()[-1] == "stopped: cancelled"
    chat.say("and now")
    chat.expect("You said: and now")


def test_ctrl_c_at_the_prompt_clears_it_and_then_hints(chat: Terminal) -> None:
    chat.prompt()
    chat.child.send("half a tho")
    chat.expect("tho")
    chat.child.sendintr()
    chat.prompt()
    for _ in range(4):  # the prompt just seen may have been the old one, drawn a last time: who is early presses again
        chat.child.sendintr()
        if chat.child.expect_exact(["Ctrl-D leaves.", pexpect.TIMEOUT], timeout=5) == 0:
            break
    else:
        pytest.fail("no hint how to leave")
    chat.prompt()
    chat.child.sendeof()
    assert chat.ends() == 0


def test_the_input_history_is_kept_and_private(home: Path) -> None:
    first = Terminal(home, "chat")
    first.prompt()
    first.say("remember me")
    first.expect("You said: remember me")
    first.prompt()
    first.child.sendeof()
    assert first.ends() == 0
    assert (home / "state" / "input_history").stat().st_mode & 0o777 == 0o600
    second = Terminal(home, "chat")
    second.prompt()
    second.child.send("\x1b[A\r")
    second.expect("You said: remember me")
    second.child.close(force=True)


def test_pasting_several_lines_sends_nothing_before_enter(chat: Terminal) -> None:
    chat.prompt()
    chat.child.send("\x1b[200~first\nsecond\x1b[201~")
    chat.expect("second")
    chat.child.send("\r")
    chat.expect("You said: first")
    chat.expect("second")


def test_commands_inside(chat: Terminal, home: Path, tmp_path: Path) -> None:
    chat.prompt()
    chat.say("/modle")
    chat.expect("there is no command /modle → try /model")
    chat.say("/switch qwen2.5-coder")
    chat.expect(f"{LARGE.key} answers from now on")
    chat.say("who?")
    chat.expect("You said: who?")
    chat.say("/why")
    chat.expect("you pinned it")
    chat.say("/auto")
    chat.expect("Mai chooses again")
    chat.say("/pin")
    chat.expect(f"{SMALL.key} answers from now on")
    chat.say("/status")
    chat.expect("Machine")
    chat.say("/model")
    chat.expect("does not fit")
    chat.say("/history")
    chat.expect("Messages")
    chat.say(f"/export {tmp_path}/talk.md")
    chat.expect("2 messages written")
    assert "You said: who?" in (tmp_path / "talk.md").read_text()
    chat.say("/new")
    chat.expect("a new conversation")
    chat.say("/resume")
    chat.expect("who?")
    chat.say("/help")
    chat.expect("Alt-Enter")
    chat.say("//slash")
    chat.expect("You said: /slash")
    chat.say("/quit")
    assert chat.ends() == 0


def test_a_failure_is_one_line_and_the_conversation_goes_on(chat: Terminal) -> None:
    chat.prompt()
    chat.say("crash")
    chat.expect("Half an ans")
    chat.expect("the model's process ended (signal 9) → ask again")
    chat.say("again")
    chat.expect("You said: again")


def test_a_failure_breaks_between_words(home: Path) -> None:
    terminal = Terminal(home, "switch", "nothing", COLUMNS="40")
    terminal.child.expect(pexpect.EOF)
    assert CONTROL.sub("", terminal.child.before or "").splitlines() == [
        "mai: there is no model nothing → did you",
        f"mean {SMALL.key}?",
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("when", ["prompt", "reply"])
def test_a_signal_shuts_down_in_order(home: Path, number: signal.Signals, code: int, when: str) -> None:
    terminal = Terminal(home, "chat")
    terminal.prompt()
    if when == "reply":
        terminal.say("slow")
        terminal.expect("word5")
    else:
        time.sleep(0.3)
    terminal.child.kill(number)
    assert terminal.ends() == code
    log = (home / "state" / "scripted.log").read_text().splitlines()
    assert log[-1] == "shutdown"
    assert ("stopped: cancelled" in log) == (when == "reply")


@pytest.mark.parametrize("when", ["prompt", "reply"])
def test_a_terminal_that_goes_away_leaves_nothing_behind(home: Path, when: str) -> None:
    terminal = Terminal(home, "chat")
    terminal.prompt()
    if when == "reply":
        terminal.say("slow")
        terminal.expect("word5")
    os.close(terminal.child.child_fd)
    terminal.child.closed = terminal.child.ptyproc.closed = True
    deadline = time.monotonic() + 10
    log = home / "state" / "scripted.log"
    while time.monotonic() < deadline and not (log.exists() and "shutdown" in log.read_text()):
        time.sleep(0.05)
    lines = log.read_text().splitlines()
    assert lines[-1] == "shutdown"
    assert ("stopped: cancelled" in lines) == (when == "reply")


def test_what_is_typed_during_a_reply_waits_for_the_prompt(chat: Terminal) -> None:
    chat.prompt()
    chat.say("slow")
    chat.expect("word5")
    chat.child.send("typed ahead")
    chat.expect("word30")
    assert "typed ahead" not in CONTROL.sub("", chat.child.before or "")
    chat.child.sendintr()
    chat.expect("stopped")
    chat.expect("typed ahead")


def test_a_resumed_conversation_shows_where_it_was(home: Path) -> None:
    Terminal(home, "chat", "the first question").ends()
    terminal = Terminal(home, "chat", "-c")
    terminal.expect("the first question")
    terminal.expect("You said:")
    terminal.prompt()
    terminal.child.close(force=True)


def test_one_answer_on_a_terminal_is_rendered(home: Path) -> None:
    terminal = Terminal(home, "chat", "markdown")
    seen = terminal.expect("The end.")
    assert "• one" in seen
    assert terminal.ends() == 0


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_plain_text_gets_it(home: Path, setting: dict[str, str]) -> None:
    terminal = Terminal(home, "chat", "markdown fetch", **setting)
    terminal.child.expect(pexpect.EOF)
    assert "# Heading" in terminal.child.before
    assert "\x1b" not in terminal.child.before


def test_ctrl_c_ends_a_single_answer_with_130(home: Path) -> None:
    terminal = Terminal(home, "chat", "slow")
    terminal.expect("word5")
    terminal.child.sendintr()
    assert terminal.ends() == 130
    assert (home / "state" / "scripted.log").read_text().splitlines()[-2:] == ["stopped: cancelled", "shutdown"]


def test_nothing_is_decorated_in_a_pipe(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, FAKE, "chat", "fetch markdown"],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.startswith(b"# Heading")
    assert done.stderr == b""


def test_a_reader_that_leaves_is_no_error(home: Path) -> None:
    command = f"{sys.executable} {FAKE} chat slow < /dev/null | head -c 20"
    done = subprocess.run(["bash", "-c", command], env=environment(home), capture_output=True, check=True, timeout=30)
    assert len(done.stdout) == 20
    assert done.stderr == b""
    assert (home / "state" / "scripted.log").read_text().splitlines()[-1] == "shutdown"


def test_watching_the_status_ends_with_ctrl_c(home: Path) -> None:
    terminal = Terminal(home, "status", "--watch", "--interval", "0.2")
    terminal.expect("Machine")
    terminal.child.sendintr()
    assert terminal.ends() == 130
