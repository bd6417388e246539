"""Each law catches the strategy that breaks it, tells the world in words, and finds it again by its seed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.plugin.registry import PluginRegistry
from mai_core.policy.decision import decide as real
from mai_core.policy.selection import Decision, Proposal, SelectionRequest
from mai_core.testing import StrategyLaws
from mai_core.testing.laws import LAWS, Group, Outcome, decisions, laws_of, try_law
from mai_core.testing.laws.checking import Plan, check
from tests.core.testing.wrong_strategies import WRONG, Careful, Endless, Normalising, Plugin, Raises, Vain


class TestCareful(StrategyLaws):
    strategy = Careful()
    examples = 20


def test_there_are_enough_laws_and_each_says_what_it_means() -> None:
    assert len(LAWS) >= 40
    assert {law.group for law in LAWS.values()} == set(Group)
    for name, law in LAWS.items():
        assert name == law.name
        assert law.meaning.endswith("."), name
        assert len(law.meaning) < 120, name


@pytest.mark.parametrize(("strategy", "law"), WRONG.items(), ids=lambda value: getattr(value, "name", ""))
def test_what_is_wrong_is_caught(strategy: type[SelectionStrategy], law: str) -> None:
    verdict = try_law(LAWS[law], strategy)
    assert verdict.outcome is Outcome.BROKEN
    assert verdict.expected
    assert verdict.happened


def test_the_world_is_small_and_told_in_words() -> None:
    verdict = try_law(LAWS["a-dominated-model-changes-nothing"], Normalising)
    told = "\n".join(verdict.lines("mai bench check normalising"))
    assert told.startswith("a-dominated-model-changes-nothing: Adding a model that is worse in everything")
    assert "turn: chat of difficulty 0, 1 tokens to read" in told
    assert 1 <= told.count("\n  model ") <= 2, "the smallest inventory in which it shows"
    assert "quality" in told
    assert "expected: " in told
    assert "happened: " in told
    assert told.endswith("again:    mai bench check normalising")


AGAIN = """
import sys
from mai_core.testing.laws import LAWS, try_law
from tests.core.testing.wrong_strategies import Normalising
verdict = try_law(LAWS["a-loser-may-leave"], Normalising, seed=7)
print("\\n".join(verdict.lines()))
"""


def test_the_seed_finds_the_same_world_again_also_in_another_process() -> None:
    law = LAWS["a-loser-may-leave"]
    first = try_law(law, Normalising, seed=7)
    try_law(LAWS["gives-reasons"], Careful, examples=5)
    assert replace(try_law(law, Normalising, seed=7), seconds=0.0) == replace(first, seconds=0.0)
    elsewhere = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.splitlines() == list(first.lines())


def test_what_is_unsound_is_told_once_and_not_by_every_law() -> None:
    verdicts = [try_law(law, Foreign, examples=10) for law in laws_of(Foreign)]
    broken = {verdict.law for verdict in verdicts if verdict.outcome is Outcome.BROKEN}
    assert broken == {"proposes-only-candidates", "has-nothing-to-say-of-nothing"}
    unjudged = [verdict for verdict in verdicts if verdict.outcome is Outcome.UNJUDGED]
    assert {verdict.why for verdict in unjudged} == {"its answers are unsound: see the laws on answers"}
    assert len(unjudged) > 20


class Foreign(Careful):
    name = "always-foreign"

    def propose(self, request: SelectionRequest) -> list[Proposal]:
        return [Proposal("nobody", 0.5, "why not")]


def test_one_that_never_returns_is_waited_for_once() -> None:
    assert try_law(LAWS["gives-reasons"], Endless).outcome is Outcome.UNJUDGED
    again = try_law(LAWS["is-deterministic"], Endless)
    assert again.outcome is Outcome.UNJUDGED
    assert again.seconds < 0.5


def test_claims_bind_and_wrong_ones_are_named() -> None:
    assert LAWS["cost-is-heeded"] in laws_of(Vain)
    assert LAWS["cost-is-heeded"] not in laws_of(Careful)

    class Misled(Careful):
        claims = frozenset({"cost-is-heeeded"})

    with pytest.raises(ValueError, match=r"careful claims cost-is-heeeded; there are to claim: .*cost-is-heeded"):
        laws_of(Misled)


def test_many_laws_are_tried_in_several_processes_as_in_one() -> None:
    plan = Plan(strategies={"greedy-fit": {}}, examples=2, seed=3)
    registry = PluginRegistry.discover()

    def outcomes(plan: Plan) -> dict[str, tuple[Outcome, int]]:
        return {found.verdict.law: (found.verdict.outcome, found.verdict.examples) for found in check(plan, registry)}

    assert outcomes(replace(plan, jobs=2)) == outcomes(plan)


def test_the_core_is_on_trial_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that lets a strategy choose what does not fit, ignores pins, or gives no reason, is caught."""

    def faulty(change: str) -> None:
        def decide(situation, vote, **options):  # type: ignore[no-untyped-def]
            if change == "pin":
                return real(replace(situation, pinned=None), vote, **options)
            if change == "memory":
                ample = decisions.with_memory(situation, 3.0)
                return real(ample, vote, **options)
            found: Decision = real(situation, vote, **options)
            return replace(found, reason="") if change == "reason" else replace(found, choice=None)

        monkeypatch.setattr(decisions, "decide", decide)

    for change, law in (
        ("pin", "a-pin-is-obeyed"),
        ("memory", "nothing-is-chosen-that-does-not-fit"),
        ("reason", "decisions-explain-themselves"),
        ("choice", "somebody-answers"),
    ):
        with monkeypatch.context():
            faulty(change)
            assert try_law(LAWS[law], Careful).outcome is Outcome.BROKEN, law
        monkeypatch.undo()


def test_a_wrong_plugin_registers_all_of_them() -> None:
    assert len(PluginRegistry.of(Plugin()).strategies()) == len(WRONG) + 1
    assert Raises.name in PluginRegistry.of(Plugin()).strategies()
