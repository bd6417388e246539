"""The smallest change that would flip a choice is named, and it does flip it."""

from __future__ import annotations

from dataclasses import replace

from mai_core.policy.decision import decide
from mai_core.policy.explanation import smallest_flip
from mai_core.policy.feasibility import Situation
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import ModelProfile
from mai_core.policy.resources import Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import Ballot, Decision, Proposal, SelectionRequest

GIB = 2**30


def by_quality(request: SelectionRequest) -> tuple[Ballot, ...]:
    found = sorted((Proposal(c.key, c.quality) for c in request.candidates), key=lambda p: -p.score)
    return (Ballot(strategy="quality", proposals=tuple(found)),)


def chosen(situation: Situation) -> Decision:
    return decide(situation, by_quality)


def model(key: str, size: int, quality: float) -> ModelProfile:
    return ModelProfile(
        key=key, backend="b", location=key, size_bytes=size, parameters=1.6 * size, quality={"default": quality}
    )


def world(*models: ModelProfile, available: int, calm: float = float("inf")) -> Situation:
    pool = MemoryPool("ram", PoolKind.RAM, 16 * GIB, available)
    return Situation(
        models=models, snapshot=ResourceSnapshot((Host(pools=(pool,)),), 0.0, calm), features=TaskFeatures()
    )


SMALL, LARGE = model("small", GIB, 0.3), model("large", 6 * GIB, 0.9)


def test_a_pin_is_what_would_flip_first() -> None:
    flip = smallest_flip(replace(world(SMALL, LARGE, available=12 * GIB), pinned="small"), chosen)
    assert flip is not None
    assert (flip.change, flip.choice) == ("without the pin (mai switch auto)", "large")


def test_more_memory_for_the_model_that_just_does_not_fit() -> None:
    situation = world(SMALL, LARGE, available=6 * GIB)
    assert chosen(situation).choice == "small"
    flip = smallest_flip(situation, chosen)
    assert flip is not None
    assert flip.choice == "large"
    assert flip.change.endswith("more free memory")
    share = float(flip.change.split()[0]) * GIB
    assert chosen(world(SMALL, LARGE, available=int(6 * GIB + 1.05 * share))).choice == "large"


def test_calm_for_the_model_that_waits_for_it() -> None:
    situation = replace(world(SMALL, LARGE, available=12 * GIB, calm=10.0), current="small")
    assert chosen(situation).choice == "small"
    flip = smallest_flip(situation, chosen)
    assert flip is not None
    assert (flip.change, flip.choice) == ("with memory calm for longer", "large")


def test_nothing_flips_the_only_model() -> None:
    assert smallest_flip(world(SMALL, available=12 * GIB), chosen) is None
