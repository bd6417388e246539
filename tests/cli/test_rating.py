"""What a person says of replies, on the command line and inside a conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import CANDIDATES, SMALL, decision

from mai_core.cli.output import print_table
from mai_core.cli.slash import Slash
from mai_core.cli.turnview import TurnView, show_turn
from mai_core.cli.why import why_view
from mai_core.errors import MaiError
from mai_core.runtime.turn import Explanation
from tests.core.runtime.worlds import model, running

Run = Callable[..., Any]


def test_a_rating_is_kept_shown_exported_and_forgotten(mai: Run) -> None:
    first = mai("chat", "--json", "apples").json["conversation"]
    assert "Nothing is learnt yet" in mai("rate", "--show").err
    told = mai("rate", "bad")
    assert told.out == f"{SMALL.key} did badly: that counts when a model is chosen for such tasks.\n"
    mai("chat", "pears")
    assert mai("rate", "GOOD", "--conversation", first, "--json").json == {"model": SMALL.key, "verdict": "good"}
    mai("rate", "bad")
    (lesson,) = mai("rate", "--show", "--json").json
    assert (lesson["outcomes"], lesson["rated"], lesson["turned_out"], lesson["kind"]) == (2, 2, 0.5, "chat")
    shown = mai("rate", "--show").out
    assert "Turned out" in shown
    assert SMALL.key in shown
    exported = mai("history", "export", first, "--format", "json").json
    assert [m["rating"] for m in exported["messages"]] == [None, 1.0]
    assert mai("rate", "--forget").out == "2 outcomes forgotten; models are as they were shipped.\n"
    assert mai("rate", "--show", "--json").json == []
    assert [m["role"] for m in mai("history", "show", first, "--json").json["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize("arguments", [(), ("good", "--show"), ("--show", "--forget"), ("fine",)])
def test_one_thing_at_a_time(mai: Run, arguments: tuple[str, ...]) -> None:
    assert mai("rate", *arguments).code == 2


def test_why_tells_what_is_owed_to_outcomes(capsys: pytest.CaptureFixture[str]) -> None:
    small, large, remote = CANDIDATES
    taught = (
        replace(small, quality=0.62, learnt=0.07, outcomes=14),
        replace(large, quality=0.40, learnt=-0.02),
        remote,
    )
    print_table(why_view(Explanation(decision=replace(decision(), candidates=taught))))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Quality ")]
    assert lines == [
        f"Quality  {small.key} 0.62: 0.55 beforehand, +0.07 from your own outcomes in chat, of which 14 were with it",
        f"Quality  {large.key} 0.40: 0.42 beforehand, -0.02 from your own outcomes in chat, with others",
    ]


async def test_commands_of_a_conversation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter(["first", "second", "third"])
    async with running(tmp_path, model("one", reply=lambda messages: next(answers))) as (mai, _, _):
        slash = Slash(mai)
        for command in ("/good", "/edit"):
            with pytest.raises(MaiError):
                await slash.obey(command)
        await mai.process_message("tell me a story")
        await slash.obey("/bad much too short")
        err = capsys.readouterr().err
        assert "one did badly" in err
        assert "not kept" in err
        await slash.obey("/retry")
        assert slash.turn is not None
        assert (await show_turn(slash.turn, TurnView(markdown=False))).text == "second"
        await slash.obey("/edit")
        assert slash.draft == "/edit tell me a story"
        await slash.obey("/edit tell me a long story")
        assert slash.turn is not None
        assert (await show_turn(slash.turn, TurnView(markdown=False))).text == "third"
        history = await mai.get_conversation_history()
        assert [m.content for m in history.messages] == ["tell me a long story", "third"]
