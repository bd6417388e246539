"""What is worth getting ready: only what stability would let in, and nothing that would push out what is of use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.anticipation import GROWTH, LONG_READING_SECONDS, to_prepare, worth_a_checkpoint
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import Footprint, LoadPlan
from mai_core.policy.selection import Candidate, Decision, Move, Ranked
from mai_core.policy.stability import StabilityRules

RULES = StabilityRules()
CALM = float("inf")


def candidate(key: str, *, loaded: bool = False, size: int = 1, spare: float = 0.5, remote: bool = False) -> Candidate:
    return Candidate(
        key=key,
        plan=LoadPlan(context=4096),
        footprint=Footprint(size),
        is_loaded=loaded,
        spare=spare,
        is_remote=remote,
    )


def decision(
    choice: Candidate | None,
    favourite: Candidate | None = None,
    *,
    move: Move = Move.STAY,
    gain: float = 0.2,
    pinned: str | None = None,
) -> Decision:
    others = [c for c in (choice, favourite) if c is not None]
    ranking = [Ranked(favourite.key, 0.5 + gain, "")] if favourite else []
    ranking += [Ranked(choice.key, 0.5, "")] if choice else []
    return Decision(
        move=move,
        choice=choice.key if choice else None,
        reason="",
        ranking=tuple(ranking),
        favourite=(favourite or choice or candidate("none")).key,
        pinned=pinned,
        features=TaskFeatures(),
        candidates=tuple(others),
    )


small, large = candidate("small", loaded=True), candidate("large", size=9)


@pytest.mark.parametrize(("move", "evict"), [(Move.START, True), (Move.PIN, True), (Move.SWITCH, False)])
def test_a_choice_that_is_not_in_memory_is_prepared(move: Move, evict: bool) -> None:
    found = to_prepare(decision(large, move=move), CALM, RULES)
    assert found == (large, evict)


def test_a_favourite_that_only_its_load_holds_back_is_prepared_in_free_memory() -> None:
    assert to_prepare(decision(small, large), CALM, RULES) == (large, False)


@pytest.mark.parametrize(
    ("made", "calm"),
    [
        (decision(small), CALM),
        (decision(None), CALM),
        (decision(small, large, gain=0.01), CALM),
        (decision(small, large), 10.0),
        (decision(small, replace(large, spare=0.0)), CALM),
        (decision(small, replace(large, is_loaded=True)), CALM),
        (decision(small, replace(large, is_remote=True)), CALM),
        (decision(candidate("box", remote=True)), CALM),
        (decision(small, large, pinned="small"), CALM),
    ],
    ids=["ready", "nothing", "no-gain", "no-calm", "too-tight", "loaded", "remote", "remote-choice", "pinned"],
)
def test_nothing_is_prepared_without_need(made: Decision, calm: float) -> None:
    assert to_prepare(made, calm, RULES) is None


def test_a_smaller_favourite_needs_no_calm() -> None:
    assert to_prepare(decision(replace(large, is_loaded=True), candidate("tiny")), 0.0, RULES) is not None


def test_what_may_climb_is_loaded_anew_in_its_own_place_and_nothing_else_first() -> None:
    better = LoadPlan(context=8192)
    low = replace(candidate("low", loaded=True), better=better)
    found = to_prepare(decision(low, candidate("other")), CALM, RULES)
    assert found is not None
    assert (found.candidate.key, found.candidate.plan, found.evict) == ("low", better, True)
    short = replace(candidate("short"), reloads=True)
    assert to_prepare(decision(short), CALM, RULES) == (short, True)
    assert to_prepare(decision(candidate("new")), CALM, RULES) == (candidate("new"), False)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=60), st.floats(1.0, 2000.0))
def test_checkpoints_spare_most_of_the_reading_and_write_little(turns: list[int], reading: float) -> None:
    """What a crash costs stays bounded, and all saves together write five times what the last one did."""
    read = kept = written = 0
    for tokens in turns:
        read += tokens
        if worth_a_checkpoint(read, kept, reading):
            kept, written = read, written + read
        assert read - kept < max(reading * LONG_READING_SECONDS, kept * GROWTH)
    assert written <= 5 * kept
