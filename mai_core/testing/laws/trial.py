"""Trying a law on generated worlds, and bringing back the smallest one in which it does not hold.

What is drawn depends on the seed, the law and the number of examples alone: not on the clock, not on what was tried
before or in which process. So a violation is found again by its seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any
from unittest import mock
from weakref import WeakSet
from zlib import crc32

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, Flaky, Unsatisfiable, UnsatisfiedAssumption

from mai_core.plugin.interfaces import SelectionStrategy
from mai_core.testing.laws.answers import too_slow
from mai_core.testing.laws.law import Broken, Law, Make
from mai_core.testing.laws.telling import told

__all__ = ["EXAMPLES", "Outcome", "Verdict", "try_law"]

EXAMPLES = 100
SMALLER = 400
"""Runs spent on making a world smaller in which a law does not hold."""

UNSOUND = 30
"""So many worlds in a row without an answer that can be judged, and there will be none."""

FEW = 3
HOPELESS_SECONDS = 0.1
"""A strategy that takes longer for a few candidates would keep the trial of one law busy for minutes."""


class Outcome(StrEnum):
    """What came of trying a law."""

    KEPT = "kept"
    BROKEN = "broken"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of trying one law on one strategy.

    examples   worlds in which it was tried
    expected, happened, world   of the smallest world in which it does not hold, in words
    why        it could not be judged
    """

    law: str
    group: str
    meaning: str
    outcome: Outcome
    seed: int
    examples: int = 0
    seconds: float = 0.0
    expected: str = ""
    happened: str = ""
    world: tuple[str, ...] = ()
    why: str = ""

    def lines(self, replay: str = "") -> Iterator[str]:
        """A violation for a person to read; ``replay`` is what finds it again."""
        yield f"{self.law}: {self.meaning}"
        yield from (f"  {line}" for line in self.world)
        yield f"  expected: {self.expected}"
        yield f"  happened: {self.happened}"
        if replay:
            yield f"  again:    {replay}"


class _Trial:
    """The check of one law as Hypothesis runs it, and the last world in which it did not hold."""

    def __init__(self, law: Law, make: Make) -> None:
        self._law = law
        self._make = make
        self._known: set[str] = set()
        self._left = SMALLER
        self._unsound = 0
        self.examples = 0
        self.broken: Broken | None = None
        self.world: tuple[str, ...] = ()

    def __call__(self, example: dict[str, Any]) -> None:
        if self.broken is not None:
            self._left -= 1
            if self._left < 0 and repr(example) not in self._known:
                return  # small enough: only what is known not to hold still does not
        try:
            self._law.check(self._make, **example)
        except UnsatisfiedAssumption:
            self._unsound += 1
            if not self.examples and self._unsound >= UNSOUND:
                raise FailedHealthCheck("no answer can be judged") from None
            raise
        except Broken as broken:
            self._known.add(repr(example))
            self.examples += self.broken is None
            self.broken, self.world = broken, told(example)
            raise
        self.examples += self.broken is None


def try_law(law: Law, make: Make, *, examples: int = EXAMPLES, seed: int = 0) -> Verdict:
    """Whether a strategy keeps ``law`` in about ``examples`` generated worlds."""
    started = perf_counter()
    trial = _Trial(law, make)

    def verdict(outcome: Outcome, why: str = "") -> Verdict:
        broken = trial.broken if outcome is Outcome.BROKEN else None
        return Verdict(
            law=law.name,
            group=law.group.value,
            meaning=law.meaning,
            outcome=outcome,
            seed=seed,
            examples=trial.examples,
            seconds=perf_counter() - started,
            expected=broken.expected if broken else "",
            happened=broken.happened if broken else "",
            world=trial.world if broken else (),
            why=why,
        )

    if not law.worlds:
        try:
            trial({})
        except Broken:
            return verdict(Outcome.BROKEN)
        return verdict(Outcome.KEPT)
    if slow := _hopeless(make()):
        return verdict(Outcome.UNJUDGED, f"it {slow}, given {FEW} candidates")
    try:
        with _by_the_seed_alone():
            _explore(law, trial, max(1, round(examples * law.share)), seed)
    except (Unsatisfiable, FailedHealthCheck):
        return verdict(Outcome.UNJUDGED, "its answers are unsound: see the laws on answers")
    except (Broken, Flaky):
        return verdict(Outcome.BROKEN)
    return verdict(Outcome.KEPT)


def _hopeless(strategy: SelectionStrategy) -> str:
    """Why a strategy is too slow to be tried; one that never returns is waited for once."""
    if type(strategy) in _NEVER_RETURN:
        return "did not return"
    slow = too_slow(strategy, FEW, HOPELESS_SECONDS)
    if slow.startswith("did not return"):
        _NEVER_RETURN.add(type(strategy))
        return "did not return"
    return slow


_NEVER_RETURN: WeakSet[type[SelectionStrategy]] = WeakSet()


def _explore(law: Law, trial: _Trial, examples: int, seed: int) -> None:
    def run(example: dict[str, Any]) -> None:
        trial(example)

    settings = hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    made = given(example=st.fixed_dictionaries(dict(law.worlds)))(run)
    hypothesis.seed(crc32(f"{seed} {law.name}".encode()))(settings(made))()


@contextmanager
def _by_the_seed_alone() -> Iterator[None]:
    """Draw no constants of the modules that happen to be imported: another process has imported others."""
    from hypothesis.internal.conjecture import providers

    def none(*_: object, **__: object) -> None:
        return None

    with mock.patch.object(providers.HypothesisProvider, "_maybe_draw_constant", none):
        yield
