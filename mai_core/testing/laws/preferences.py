"""Preferences every sane strategy has: what only gets better is never liked less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from mai_core.policy.selection import Candidate, Rung, SelectionRequest
from mai_core.testing.laws.asking import NEAR, scores
from mai_core.testing.laws.law import Group, Make, expect, law
from mai_core.testing.worlds import cheaper, dominated, kept_in_memory, quicker, requests

__all__ = ["LAWS"]

index = st.integers(0, 3)
gain = st.sampled_from([0.01, 0.1, 0.5, 1.0])
RUNGS = tuple(Rung)


def never_lowers(
    make: Make, request: SelectionRequest, which: int, better: Callable[[Candidate], Candidate], how: str
) -> None:
    """The law itself: one candidate gets ``better``, and its score gets no lower."""
    one = request.candidates[which % len(request.candidates)]
    other = better(one)
    improved = tuple(other if c is one else c for c in request.candidates)
    before, after = scores(make, request)[one.key], scores(make, replace(request, candidates=improved))[one.key]
    expect(after >= before - NEAR, f"{one.key} at {before:.4g} or more {how}", f"it scores {after:.4g}")


@law(Group.PREFERENCES, request=requests(least=1), which=index)
def never_prefers_a_dominated_model(make: Make, request: SelectionRequest, which: int) -> None:
    """Of two models the one that is worse in everything never scores higher."""
    one = request.candidates[which % len(request.candidates)]
    worse = dominated(one, "worse")
    found = scores(make, replace(request, candidates=(*request.candidates, worse)))
    happened = f"a copy that is worse in everything scores {found['worse']:.4g}"
    expect(found["worse"] <= found[one.key] + NEAR, f"at most {found[one.key]:.4g}, which {one.key} scores", happened)


@law(Group.PREFERENCES, request=requests(least=1), which=index, by=gain)
def better_answers_never_lower_a_score(make: Make, request: SelectionRequest, which: int, by: float) -> None:
    """A model that answers better scores no less."""
    never_lowers(
        make,
        request,
        which,
        lambda c: replace(c, quality=c.quality + by * (1.0 - c.quality)),
        f"when its quality comes {by:.0%} nearer to 1",
    )


@law(Group.PREFERENCES, request=requests(least=1), which=index, by=gain)
def a_lower_price_never_lowers_a_score(make: Make, request: SelectionRequest, which: int, by: float) -> None:
    """A model that takes less energy and money scores no less."""
    never_lowers(make, request, which, lambda c: cheaper(c, 1.0 - by), f"when it takes {by:.0%} less energy and money")


@law(Group.PREFERENCES, request=requests(least=1), which=index, by=st.sampled_from([0.01, 0.1, 0.5, 0.9]))
def speed_never_lowers_a_score(make: Make, request: SelectionRequest, which: int, by: float) -> None:
    """A model that loads, reads and writes faster scores no less."""
    never_lowers(make, request, which, lambda c: quicker(c, 1.0 - by), f"when all it does takes {by:.0%} less time")


@law(Group.PREFERENCES, request=requests(least=1), which=index, by=gain)
def health_never_lowers_a_score(make: Make, request: SelectionRequest, which: int, by: float) -> None:
    """A model that failed less lately scores no less."""
    never_lowers(
        make,
        request,
        which,
        lambda c: replace(c, health=c.health + by * (1.0 - c.health)),
        f"when its health comes {by:.0%} nearer to 1",
    )


@law(Group.PREFERENCES, request=requests(least=1), which=index, by=gain)
def room_to_spare_never_lowers_a_score(make: Make, request: SelectionRequest, which: int, by: float) -> None:
    """A model that leaves more memory free scores no less."""
    never_lowers(
        make,
        request,
        which,
        lambda c: replace(c, spare=c.spare + by * (1.0 - c.spare)),
        f"when it leaves {by:.0%} of what it took",
    )


@law(Group.PREFERENCES, request=requests(least=1), which=index)
def being_in_memory_never_lowers_a_score(make: Make, request: SelectionRequest, which: int) -> None:
    """A model that is loaded already scores no less than if it had to be loaded."""
    assume(not request.candidates[which % len(request.candidates)].is_remote)
    never_lowers(make, request, which, kept_in_memory, "once it is in memory")


@law(Group.PREFERENCES, request=requests(least=1), which=index)
def a_higher_rung_never_lowers_a_score(make: Make, request: SelectionRequest, which: int) -> None:
    """A model that had to come down less to fit scores no less."""
    rung = request.candidates[which % len(request.candidates)].rung
    assume(rung is not RUNGS[0])
    higher = RUNGS[RUNGS.index(rung) - 1]
    never_lowers(make, request, which, lambda c: replace(c, rung=higher), f"on the rung {higher.value}")


LAWS = (
    never_prefers_a_dominated_model,
    better_answers_never_lower_a_score,
    a_lower_price_never_lowers_a_score,
    speed_never_lowers_a_score,
    health_never_lowers_a_score,
    room_to_spare_never_lowers_a_score,
    being_in_memory_never_lowers_a_score,
    a_higher_rung_never_lowers_a_score,
)
