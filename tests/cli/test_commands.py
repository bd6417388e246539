"""Every command once, as a program that reads its output sees it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import fakes
import pytest
from conftest import Run
from fakes import HUGE, LARGE, SMALL, WANTED

from mai_core.cli import main
from mai_core.cli.models import models_view
from mai_core.paths import Paths
from mai_core.policy.messages import Message, Role
from mai_core.policy.models import ModelProfile
from mai_core.policy.selection import Rejection, RejectionReason
from mai_core.runtime.status import ModelRow, Placement
from mai_core.runtime.store import Store

ANSI = "\x1b"


def test_one_answer_and_nothing_else_on_standard_output(mai: Run) -> None:
    told = mai("chat", "What", "is", "this?")
    assert (told.code, told.out, told.err) == (0, "You said: What is this? \n", "")


def test_piped_text_follows_the_prompt(mai: Run) -> None:
    assert mai("chat", stdin=b"piped\n").out == "You said: piped \n"
    assert mai("chat", "Explain:", stdin=b"a = 1\n").out == "You said: Explain:\n\na = 1 \n"


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        (b"", "there is nothing on standard input"),
        (b" \n\t\n", "there is nothing on standard input"),
        (b"\x89PNG\r\n\x1a\n", "standard input is not text (byte 0x89 at 0)"),
        (b"abc\xff", "standard input is not text (byte 0xff at 3)"),
        (b"abc\0def", "standard input is not text (a zero at 3)"),
    ],
)
def test_what_is_no_text_gets_one_clear_line(mai: Run, stdin: bytes, says: str) -> None:
    told = mai("chat", stdin=stdin)
    assert told.code == 1
    assert told.out == ""
    assert told.err.startswith(f"mai: {says} → ")
    assert told.err.count("\n") == 1


def test_a_byte_order_mark_and_a_megabyte_pass(mai: Run) -> None:
    assert mai("chat", stdin="\ufeffhello".encode()).out == "You said: hello \n"
    assert len(mai("chat", stdin=b"x" * 2**20).out) > 2**20


def test_a_conversation_needs_a_terminal(mai: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = mai("chat", "--json", "hello", "--continue", "--resume", "abc")
    assert told.code == 2
    assert "exclude each other" in told.err


def test_markdown_stays_markdown_in_a_pipe(mai: Run) -> None:
    told = mai("chat", "markdown")
    assert told.out.startswith("# Heading\n")
    assert ANSI not in told.out + told.err


def test_a_failure_is_one_line_and_what_was_said_is_kept(mai: Run) -> None:
    told = mai("chat", "crash")
    assert told.code == 1
    assert told.out == "Half an ans\n"
    assert told.err == "mai: the model's process ended (signal 9) → ask again\n"
    listed = mai("history", "--json").json
    assert listed[0]["messages"] == 2


def test_a_fall_back_is_told_beside_the_reply(mai: Run) -> None:
    told = mai("chat", "fall")
    assert told.out == "Half an answer and the rest.\n"
    assert told.err.count("\n") == 1
    assert f"{LARGE.key} took over" in told.err


def test_a_prompt_of_which_the_model_saw_little_is_told(mai: Run) -> None:
    assert mai("chat", "condensed").err.startswith("The model saw less than half of all this; mai why tells")


def test_leaving_the_machine_is_told(mai: Run) -> None:
    assert "answers from api.example.com: this conversation leaves your machine" in mai("chat", "remote").err
    assert "answers from api.example.com" in mai("chat", "fall far away").err, "also when it is a fallback"
    assert "leaves your machine" not in mai("chat", "fall").err


def test_a_reply_as_json(mai: Run) -> None:
    told = mai("chat", "--json", "hello").json
    assert told["text"] == "You said: hello "
    assert told["message"]["model"] == SMALL.key
    assert told["decision"]["choice"] == SMALL.key


def test_continue_and_resume(mai: Run) -> None:
    first = mai("chat", "--json", "one").json["conversation"]
    mai("chat", "two")
    assert mai("chat", "--json", "--resume", first, "three").json["conversation"] == first
    assert mai("chat", "--json", "-c", "four").json["conversation"] == first
    told = mai("chat", "--resume", "nothing", "hello")
    assert told.code == 1
    assert "there is no conversation" in told.err


def test_a_model_for_this_call_only(mai: Run, home: Path) -> None:
    assert mai("chat", "--json", "-m", "qwen2.5-coder", "hello").json["message"]["model"] == LARGE.key
    assert f"switch {LARGE.key} True" in (home / "state" / "scripted.log").read_text()


def test_models(mai: Run) -> None:
    told = mai("models")
    assert [line.split()[0] for line in told.out.splitlines()[1:]][:2] == [SMALL.key, LARGE.key]
    assert "needs 40.6 GiB, 3.1 GiB are free → free 37.5 GiB" in told.out
    assert WANTED.key not in told.out
    assert WANTED.key in mai("models", "--all").out
    rows = {row["model"]: row for row in mai("models", "--json").json}
    assert rows[SMALL.key]["fit"] == "fits"
    [huge], [small] = rows[HUGE.key]["placements"], rows[SMALL.key]["placements"]
    assert huge["rejection"]["reason"] == "memory"
    assert small["loaded"]["plan"]["context"] == 8192
    assert small["profile"]["key"] == SMALL.key
    assert told.err.splitlines() == ["1 more can be fetched: mai models --all", "lms: nobody answers"]


def test_status(mai: Run) -> None:
    told = mai("status")
    assert SMALL.key in told.out
    assert "233 MiB" in told.out
    assert "3.0 GiB" in told.out
    assert "lms: nobody answers" in told.err
    assert "not running here: ollama" in told.out
    assert "Ollama" not in told.err, "which is no fault"
    assert "box (remote)" in told.out
    assert "found on port 11434" in told.out
    assert all(line == line.rstrip() for line in told.out.splitlines())
    status = mai("status", "--json").json
    assert status["current"] == SMALL.key
    assert status["resources"]["calm_seconds"] is None


def test_every_rejection_has_words_for_people() -> None:
    profile = ModelProfile(key="m", backend="b", location="m")
    for reason in RejectionReason:
        rejection = Rejection(key="m", reason=reason, message="the reason")
        assert models_view([ModelRow.of([Placement(profile=profile, rejection=rejection)])]).row_count == 1


def test_a_pin_that_cannot_be_obeyed_is_told_at_once_and_when_another_answers(mai: Run) -> None:
    pinned = mai("switch", HUGE.key)
    assert pinned.out.startswith(f"{HUGE.key} answers from now on")
    assert "cannot run now, so Mai chooses until it can: needs 40.6 GiB" in pinned.err
    told = mai("chat", "-m", HUGE.key, "overruled")
    assert told.out.startswith("You said: ")
    assert told.err == f"{HUGE.key} cannot answer, {SMALL.key} does: needs 40.6 GiB, 3.1 GiB are free → free 37.5 GiB\n"
    assert mai("switch", SMALL.key).err == ""


def test_switch(mai: Run) -> None:
    assert mai("switch", "smol").out.startswith(f"{SMALL.key} answers from now on")
    assert mai("switch", "auto", "--json").json == {"pinned": None}
    told = mai("switch", "smal")
    assert (told.code, told.err) == (1, f"mai: there is no model smal → did you mean {SMALL.key}?\n")


def test_why(mai: Run) -> None:
    assert mai("why").code == 1
    mai("chat", "hello")
    told = mai("why").out
    for expected in (
        "stays: good enough for small talk",
        "tiny is enough for chat",
        "lost its vote: proposed a model that is no candidate: gpt-9",
        "free 37.5 GiB",
        "if this turn were as hard as 0.62",
        "2 messages whole, 48 tokens",
    ):
        assert expected in told
    assert "(dry run)" in mai("why", "what", "if").out
    assert mai("why", "--json").json["decision"]["flip"]["choice"] == LARGE.key


def test_history(mai: Run, tmp_path: Path) -> None:
    assert "No conversations yet" in mai("history").err
    first = mai("chat", "--json", "apples").json["conversation"]
    mai("chat", "pears")
    assert len(mai("history", "--json").json) == 2
    assert len(mai("history", "list", "--json", "-n", "1").json) == 1
    assert [row["id"] for row in mai("history", "search", "apples", "--json").json] == [first]
    assert "You said: apples" in mai("history", "show", first).out
    assert mai("history", "export", first, "--format", "json").json["id"] == first
    assert "You said: apples" in mai("history", "export", first).out
    file = tmp_path / "out.md"
    assert mai("history", "export", first, "-o", str(file)).code == 0
    again = mai("history", "export", first, "-o", str(file))
    assert again.code == 1
    assert "already exists" in again.err
    assert mai("history", "delete", first).code == 0
    assert mai("history", "show", first).code == 1
    assert len(mai("history", "--json").json) == 1


def test_a_reply_of_two_models_names_both(mai: Run, home: Path) -> None:
    id = mai("chat", "--json", "apples").json["conversation"]
    assert "written by" not in mai("history", "show", id).out
    with closing(Store.open(Paths.of({"MAI_HOME": str(home)}).database, now=lambda: 1.0)) as store:
        store.append(id, Message(role=Role.ASSISTANT, content="Two.", earlier=("large",), model="small"))
    assert "(written by large, then small)" in mai("history", "show", id).out
    assert mai("history", "show", id, "--json").json["messages"][-1]["earlier"] == ["large"]


def test_delete_is_all_or_nothing_about_unknown_ids(mai: Run) -> None:
    known = mai("chat", "--json", "apples").json["conversation"]
    assert mai("history", "delete", known, "nothing").code == 1
    assert len(mai("history", "--json").json) == 1


def test_pull_and_rm(mai: Run) -> None:
    told = mai("pull", "smollm2")
    assert told.out == f"{SMALL.key}  98 MiB\n"
    assert ANSI not in told.err
    assert mai("pull", "smollm2", "--json").json["key"] == SMALL.key
    assert mai("rm", SMALL.key).out == f"{SMALL.key} deleted, 98 MiB freed\n"
    assert mai("rm", "nothing").code == 1


def test_config_keeps_comments_and_names_origins(mai: Run, home: Path) -> None:
    file = Path(mai("config", "path").out.strip())
    file.parent.mkdir(parents=True)
    file.write_text("# mine\nselection:\n  arbiter: first  # I like it\n")
    assert mai("config", "get", "selection.arbiter").out == "first\n"
    assert mai("config", "set", "context.window", "4096").code == 0
    assert "# mine" in file.read_text()
    assert "# I like it" in file.read_text()
    shown = {row["name"]: row for row in mai("config", "show", "--json").json}
    assert shown["selection.arbiter"]["origin"].endswith("mai.yaml:3")
    assert shown["log.level"]["origin"] == "default"
    assert mai("--set", "log.level=debug", "config", "get", "log.level").out == "debug\n"
    assert "selection.arbiter" in mai("config", "show", "selection").out
    assert mai("config", "unset", "context.window").code == 0
    assert mai("config", "validate").code == 0
    file.write_text("selection:\n  arbitre: first\n")
    wrong = mai("config", "validate")
    assert wrong.code == 1
    assert "arbiter" in wrong.err
    assert mai("config", "get", "selection.arbitre").code == 1


def test_what_a_backend_refuses_is_not_kept(mai: Run, home: Path) -> None:
    """Least of all a key: it belongs where others cannot read it."""
    file = home / "config" / "mai.yaml"
    assert mai("config", "set", "backends.box.type", "openai-compatible").code == 0
    told = mai("config", "set", "backends.box.api_key", "sk-123")
    assert told.code == 1
    assert "write env:NAME or keyring:SERVICE/USER" in told.err
    assert "sk-123" not in file.read_text() + told.err + told.out
    wrong = mai("config", "validate")
    assert (wrong.code, "backends.box.base_url is not set" in wrong.err) == (1, True)
    assert mai("config", "set", "backends.box.base_url", "http://box:8000/v1").code == 0
    assert mai("config", "validate").code == 0


def test_an_edit_that_breaks_the_file_is_put_back(mai: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mai("config", "set", "log.level", "debug")
    file = home / "config" / "mai.yaml"
    before = file.read_text()
    monkeypatch.setenv("EDITOR", "sh -c 'echo nonsense: 1 >> $0'")
    told = mai("config", "edit")
    assert told.code == 1
    assert "your former settings were put back" in told.err
    assert file.read_text() == before
    monkeypatch.setenv("EDITOR", "sh -c 'echo \"# note\" >> $0'")
    assert mai("config", "edit").code == 0
    assert "# note" in file.read_text()
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    assert "does not start" in mai("config", "edit").err


def test_broken_settings_stop_everything_but_help(mai: Run, home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "mai.yaml").write_text("plugins:\n  blocked: {\n")
    told = mai("chat", "hello")
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("mai: ")
    assert told.err.count("\n") == 1
    assert mai("--help").code == 0


def test_plugins(mai: Run) -> None:
    told = {plugin["name"]: plugin for plugin in mai("plugins", "--json").json}
    assert "tiered" in told["strategies"]["registers"]["strategies"]
    assert "blocked" in mai("--block", "strategies", "plugins").out
    assert "strategies: import" not in mai("--block", "strategies", "--trace-plugins", "plugins").err
    assert "strategies" in mai("--trace-plugins", "plugins").err


def test_logs(mai: Run) -> None:
    import logging

    assert "Nothing is logged yet" in mai("logs").err
    from mai_core.cli.invocation import Invocation

    with Invocation().log():
        logging.getLogger("mai.pool").warning("model evicted", extra={"model": SMALL.key})
        logging.getLogger("mai.pool").info("model loaded")
    assert "model evicted" in mai("logs").out
    assert "model loaded" not in mai("logs", "--level", "warning").out
    assert mai("logs", "-n", "1", "--json").json["message"] == "model loaded"


def test_the_program_itself(mai: Run) -> None:
    from mai_core import __version__

    assert mai("--version").out == f"mai {__version__}\n"
    wrong = mai("swich", "auto")
    assert wrong.code == 2
    assert "'switch'" in wrong.err
    assert mai("chat", "--nonsense").code == 2
    assert mai("--set", "nonsense=1", "models").code == 1


def test_a_defect_shows_its_trace(mai: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(fakes.ScriptedMai, "models", broken)
    with pytest.raises(ZeroDivisionError):
        main(["models"])
