"""Below the prompt stands who answers now, and whom the person wants to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import HUGE, LARGE, SMALL, ScriptedMai
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import fragment_list_to_text
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from mai_core.cli.repl import Repl
from mai_core.paths import Paths
from tests.pictures import png


class Wide(DummyOutput):
    columns = 120

    def get_size(self) -> Size:
        return Size(rows=30, columns=self.columns)


@pytest.fixture
async def repl(tmp_path: Path) -> AsyncIterator[Repl]:
    mai = ScriptedMai(Paths.of({"MAI_HOME": str(tmp_path)}), None)
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=Wide()):
        yield Repl(mai, tmp_path / "history", markdown=False)  # type: ignore[arg-type]
    await mai.shutdown()


def toolbar(repl: Repl) -> str:
    return fragment_list_to_text(repl._toolbar())


async def test_who_answers_while_the_pinned_model_cannot(repl: Repl) -> None:
    assert toolbar(repl) == "/help"
    await repl._look_around()
    assert toolbar(repl) == f"{SMALL.key}  /why"
    await repl._obey(f"/switch {HUGE.key}")
    assert toolbar(repl) == f"{HUGE.key} (pinned, cannot run now)  /auto releases it"
    await repl._obey("overruled")
    assert toolbar(repl) == f"{SMALL.key} for now; {HUGE.key} pinned  /auto releases it"
    await repl._obey("/status")
    assert toolbar(repl).startswith(f"{SMALL.key} for now; ")
    await repl._obey(f"/switch {LARGE.key}")
    assert toolbar(repl) == f"{LARGE.key} (pinned)  /auto releases it"
    await repl._obey("who?")
    assert toolbar(repl) == f"{LARGE.key} (pinned)  /auto releases it"
    await repl._obey("overruled")
    assert toolbar(repl) == f"{SMALL.key} for now; {LARGE.key} pinned  /auto releases it"
    await repl._obey("/auto")
    assert toolbar(repl) == f"{SMALL.key}  /why"
    await repl._obey("who?")
    await repl._obey(f"/switch {HUGE.key}")
    assert toolbar(repl) == f"{HUGE.key} (pinned, cannot run now)  /auto releases it", "who answers is not known yet"


async def test_a_hint_that_would_be_cut_off_is_left_out(repl: Repl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wide, "columns", 80)
    await repl._obey(f"/switch {HUGE.key}")
    await repl._obey("overruled")
    assert toolbar(repl) == f"{SMALL.key} for now; {HUGE.key} pinned"


async def test_what_is_attached_until_it_is_sent(repl: Repl, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(png())
    await repl._obey(f"/image {tmp_path}/cat.png")
    assert toolbar(repl).endswith("cat.png attached")
    await repl._obey("what is this?")
    assert "attached" not in toolbar(repl)
