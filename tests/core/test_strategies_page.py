"""What docs/strategies.md shows of Python runs as it stands, and keeps the laws."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from mai_core.plugin.events import TurnFinished
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.features import TaskFeatures
from mai_core.policy.messages import StopReason, Usage
from mai_core.policy.models import LoadPlan
from mai_core.policy.selection import Candidate, SelectionRequest
from mai_core.testing.laws import LAWS, Outcome, laws_of, try_law

PAGE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")
NAMES = ("best", "patient", "easygoing", "thrifty", "acquainted")


@pytest.fixture(scope="module")
def page() -> ModuleType:
    module = ModuleType("strategies_page")
    sys.modules[module.__name__] = module
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/strategies.md", "exec"), vars(module))
    return module


@pytest.mark.parametrize("name", NAMES)
def test_every_example_keeps_the_laws(page: ModuleType, name: str) -> None:
    registry = PluginRegistry.of(page)
    assert tuple(registry.strategies()) == NAMES
    assert not registry.faults
    for law in laws_of(lambda: registry.strategy(name)):
        verdict = try_law(law, lambda: registry.strategy(name), examples=3)
        assert verdict.outcome is Outcome.KEPT, "\n".join(verdict.lines())


def test_the_last_one_learns_from_turns(page: ModuleType) -> None:
    slow = Candidate(key="slow", plan=LoadPlan(context=4096), quality=0.8)
    quick = Candidate(key="quick", plan=LoadPlan(context=4096), quality=0.7, prefill_seconds=1.0)
    request = SelectionRequest(features=TaskFeatures(), candidates=(slow, quick))
    before = {p.key: p.score for p in page.Acquainted().propose(request)}
    page.mai_turn_finished(
        TurnFinished(
            conversation="c",
            model="slow",
            stop=StopReason.STOP,
            usage=Usage(),
            first_token_seconds=30.0,
            seconds=40.0,
        )
    )
    after = {p.key: p.score for p in page.Acquainted().propose(request)}
    assert before["slow"] > before["quick"] == after["quick"] > after["slow"]


@pytest.mark.parametrize("kind", [SelectionRequest, TaskFeatures, Candidate])
def test_every_field_a_strategy_sees_is_on_the_page(kind: type) -> None:
    told = set(re.findall(r"`(\w+)`", PAGE))
    assert {field.name for field in fields(kind)} <= told


def test_the_page_knows_how_many_laws_there_are() -> None:
    assert f"tries {len(LAWS)} laws" in PAGE
