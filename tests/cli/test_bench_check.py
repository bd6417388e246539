"""``mai bench check``: wrong strategies are caught, told in words, and found again by their seed."""

from __future__ import annotations

import importlib.util

import pytest
from conftest import Run

from mai_core.cli.invocation import Invocation
from mai_core.plugin.registry import PluginRegistry
from mai_core.testing.laws import LAWS
from tests.core.testing.wrong_strategies import WRONG, Plugin


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = PluginRegistry.of(Plugin())
    monkeypatch.setattr(Invocation, "registry", lambda *_, **__: registry)


def test_a_lawful_strategy_is_told_in_a_line(mai: Run) -> None:
    told = mai("bench", "check", "careful", "--jobs", "1", "--examples", "3")
    assert told.code == 0, told.out
    assert told.out.startswith("careful: 39 kept of 39 laws, in ")
    assert told.err == ""


@pytest.mark.parametrize("name", ["raises", "endless", "nan", "alphabetical", "vain"])
def test_a_wrong_one_is_caught_by_the_law_meant_for_it(mai: Run, name: str) -> None:
    law = next(law for strategy, law in WRONG.items() if strategy.name == name)
    told = mai("bench", "check", name, "--law", law)
    assert told.code == 1
    assert f"{name}: 1 broken of 1 law, in " in told.out
    assert f"\n{law}: {LAWS[law].meaning}\n" in told.out
    assert "\n  expected: " in told.out
    assert f"again:    mai bench check {name} --law {law} --seed 0\n" in told.out


def test_what_is_printed_finds_it_again(mai: Run) -> None:
    first = mai("bench", "check", "normalising", "--law", "a-loser-may-leave", "--seed", "5", "--examples", "50")
    again = first.out.strip().splitlines()[-1].split("again:")[1].split()
    assert again[-2:] == ["--examples", "50"]
    assert mai(*again[1:]).out == first.out


def test_what_cannot_be_judged_is_no_success(mai: Run) -> None:
    told = mai("bench", "check", "endless", "--law", "gives-reasons")
    assert told.code == 1
    assert "not judged, for for 3 candidates" not in told.out
    assert "not judged: it did not return, given 3 candidates: gives-reasons" in told.out


def test_json_has_every_law_and_the_world(mai: Run) -> None:
    told = mai("bench", "check", "nan", "careful", "--law", "scores-are-utilities", "--json")
    assert told.code == 1
    wrong, right = told.json
    assert (wrong["strategy"], right["strategy"]) == ("nan", "careful")
    assert wrong["laws"][0]["outcome"] == "broken"
    assert wrong["laws"][0]["happened"].endswith("the score nan")
    assert any(line.startswith("model ") for line in wrong["laws"][0]["world"])
    assert right["laws"][0]["outcome"] == "kept"
    assert right["laws"][0]["examples"] >= 90


def test_the_list_names_every_law_with_its_meaning(mai: Run) -> None:
    told = mai("bench", "check", "--list")
    assert told.code == 0
    assert all(law.name in told.out and law.meaning in told.out for law in LAWS.values())
    assert [row["law"] for row in mai("bench", "check", "--list", "--json").json] == list(LAWS)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name a strategy, or all"),
        (("careful", "--law", "gives-reason"), 2, "did you mean gives-reasons?"),
        (("carefull",), 1, "did you mean careful?"),
        (("careful", "--examples", "0"), 2, "--examples"),
    ],
)
def test_what_is_not_there_is_named(mai: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    told = mai("bench", "check", *arguments)
    assert told.code == code
    assert said in told.err


def test_without_hypothesis_it_says_what_to_install(mai: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    told = mai("bench", "check", "careful")
    assert told.code == 1
    assert "pip install 'mai[testing]'" in told.err
