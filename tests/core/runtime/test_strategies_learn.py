"""The arbiter that learns, in whole turns: outcomes reach it, outlive a restart, and are told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from mai_core import hookimpl
from mai_core.errors import MaiError, ModelLoadError, PluginError
from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.policy.selection import Proposal, SelectionRequest
from mai_core.runtime.assembly import refusals
from mai_core.settings.model import LearningSettings, SelectionSettings, Settings, StabilitySettings
from tests.core.runtime.worlds import model, running


@dataclass(frozen=True)
class Good:
    name: ClassVar[str] = "likes-good"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, 1.0 if c.key == "good" else 0.0) for c in request.candidates]


@dataclass(frozen=True)
class Bad:
    name: ClassVar[str] = "likes-bad"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, 1.0 if c.key == "bad" else 0.0) for c in request.candidates]


class Both:
    @hookimpl
    def mai_register_strategies(self) -> list[type[SelectionStrategy]]:
        return [Good, Bad]


LEARNS = SelectionSettings(strategies=("likes-bad", "likes-good"), arbiter="exp4")
RESTLESS = StabilitySettings(margin=0.0, seconds_value=0.0)


async def test_a_strategy_that_wants_bad_models_loses_weight_and_stays_so_after_a_restart(tmp_path: Path) -> None:
    models = (model("good", quality=0.9), model("bad", quality=0.1))
    random.seed(5)
    settings = {"selection": LEARNS, "stability": RESTLESS, "learning": LearningSettings(outcomes=False)}
    async with running(tmp_path, *models, plugins=(Both(),), **settings) as (mai, _, _):
        for turn in range(120):
            await mai.process_message(f"What is {turn} plus one?")
        learnt = mai.store.experts()
        assert learnt is not None
        assert learnt.weights["likes-good"] > 0.65
    async with running(tmp_path, *models, plugins=(Both(),), **settings) as (mai, _, _):
        assert mai.store.experts() == learnt
        decision = (await mai.explain("And now?")).decision
        shares = {b.strategy: b.share for b in decision.ballots}
        assert shares == pytest.approx(dict(learnt.weights))
        assert [b.strategy for b in decision.ballots if b.weight] == [decision.followed.split()[2]]
        assert decision.followed.startswith("exp4 drew likes-")
        assert decision.followed.endswith(("turns", "turn"))


async def test_a_turn_without_an_answer_costs_who_was_followed_and_a_pinned_one_nobody(tmp_path: Path) -> None:
    broken = [model(key, load_failures=[ModelLoadError("no")] * 9) for key in ("good", "bad")]
    async with running(tmp_path, *broken, plugins=(Both(),), selection=LEARNS) as (mai, _, _):
        with pytest.raises(MaiError):
            await mai.process_message("Anybody there?")
        learnt = mai.store.experts()
        assert learnt is not None
        assert learnt.turns == 1
        assert sorted(learnt.losses.values()) == [0.0, 2.0]
    async with running(tmp_path, model("good"), model("bad"), plugins=(Both(),), selection=LEARNS) as (mai, _, _):
        await mai.switch("bad")
        await mai.process_message("Hello?")
        assert mai.store.experts() == learnt


async def test_weights_of_the_settings_count_where_they_are_asked_for(tmp_path: Path) -> None:
    for arbiter, chosen in (("weighted", "good"), ("vote", "bad")):
        selection = SelectionSettings(
            strategies=("likes-bad", "likes-good"), arbiter=arbiter, weights={"likes-good": 3.0}
        )
        models = (model("good"), model("bad"))
        async with running(tmp_path / arbiter, *models, plugins=(Both(),), selection=selection) as (mai, _, _):
            assert (await mai.process_message("Hello?")).decision.choice == chosen
            assert mai.store.experts() is None


def test_a_weight_for_nobody_is_an_error() -> None:
    from mai_core import PluginRegistry

    settings = Settings(selection=SelectionSettings(weights={"teired": 2.0}))
    assert any("teired" in str(error) for error in refusals(settings, PluginRegistry.discover()))
    assert all(isinstance(error, PluginError) for error in refusals(settings, PluginRegistry.discover()))
