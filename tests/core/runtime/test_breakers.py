"""Breakers over failures kept on disk: one trial at a time, and a backend that crashes all it has is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mai_core.errors import MaiError, ModelCrashed, ModelFileError, ModelLoadError, OutOfMemory
from mai_core.policy.health import TRIAL_HEALTH
from mai_core.runtime.breakers import Breakers
from mai_core.runtime.store import Store
from tests.core.runtime.worlds import model, running

A, B, C, D, ELSEWHERE = ("one", "a"), ("one", "b"), ("one", "c"), ("one", "d"), ("two", "a")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    made = Store.open(tmp_path / "mai.db", now=clock)
    yield made
    made.close()


async def fail(breakers: Breakers, *origins: tuple[str, str], error: type[ModelLoadError] = ModelLoadError) -> None:
    for origin in origins:
        await breakers.failed(origin, origin[0], error("no"))


async def test_after_the_pause_one_turn_makes_the_trial_and_nobody_else(store: Store, clock: Clock) -> None:
    breakers = Breakers(store, clock)
    await fail(breakers, A, A)
    with breakers.admissions() as admits:
        assert not admits(A)
        assert admits(B)
    clock.now += 61
    assert breakers.health(A) == TRIAL_HEALTH
    with breakers.admissions() as first, breakers.admissions() as second:
        assert first(A)
        assert not second(A)
        assert first(A), "its own turn goes on with it"
        assert breakers.health(A) == 0.0
        assert (found := breakers.of(A)) is not None
        assert found.trial
    with breakers.admissions() as third:
        assert third(A), "a turn that ended in neither success nor failure gives the trial back"


async def test_a_trial_that_fails_keeps_it_out_for_longer_and_one_that_works_closes_it(
    store: Store, clock: Clock
) -> None:
    breakers = Breakers(store, clock)
    await fail(breakers, A, A)
    clock.now += 61
    with breakers.admissions() as admits:
        assert admits(A)
        await fail(breakers, A)
        assert admits(A), "with less context, say: that is for the turn to know"
    clock.now += 119
    assert breakers.health(A) == 0.0
    clock.now += 1
    with breakers.admissions() as admits, breakers.admissions() as second:
        assert admits(A)
        await breakers.worked(A)
        assert second(A)
    assert breakers.health(A) == 1.0


async def test_three_models_that_crash_close_the_door_of_their_backend_in_the_same_turn(
    store: Store, clock: Clock
) -> None:
    breakers = Breakers(store, clock)
    with breakers.admissions() as admits:
        for origin in (A, B, C):
            assert admits(origin)
            await breakers.failed(origin, "one", ModelCrashed("SIGABRT"))
        assert not admits(D)
        assert admits(ELSEWHERE)
    assert breakers.health(D) == 0.0
    assert (found := breakers.of(D)) is not None
    assert (found.backend, found.remaining) == (True, 60.0)
    clock.now += 61
    with breakers.admissions() as first, breakers.admissions() as second:
        assert first(D)
        assert not second(A), "one trial for the whole backend"
        await breakers.worked(D)
        assert second(A)


@pytest.mark.parametrize("error", [ModelFileError, OutOfMemory])
async def test_a_bad_file_and_a_lack_of_memory_say_nothing_of_the_engine(
    store: Store, clock: Clock, error: type[ModelLoadError]
) -> None:
    breakers = Breakers(store, clock)
    await fail(breakers, A, B, C, error=error)
    assert breakers.of(D) is None


async def test_a_new_process_knows_what_failed_before(store: Store, clock: Clock) -> None:
    await fail(before := Breakers(store, clock), A, A, B, C)
    assert before.health(D) == 0.0
    after = Breakers(store, clock)
    await after.remember()
    assert after.of(D) == before.of(D)
    assert after.health(A) == 0.0
    await after.worked(A)
    fresh = Breakers(store, clock)
    await fresh.remember()
    assert fresh.health(A) == 1.0


async def test_a_turn_does_not_crash_through_every_model_of_a_broken_engine(tmp_path: Path) -> None:
    """Three models that cannot be loaded are enough: the fourth of that engine is not tried, another engine's is."""
    broken = [model(f"m{i}", 0.9 - i / 100, load_failures=[ModelLoadError("no")] * 9) for i in range(4)]
    async with running(tmp_path, *broken) as (mai, _, _):
        with pytest.raises(MaiError, match=r"every model failed: m0: .*m1: .*m2: "):
            await mai.process_message("hi")
        assert [len(m.load_failures) for m in broken] == [8, 8, 8, 9]
        told = (await mai.get_status()).kept_out
        assert {r.key for r in told} == {"m0", "m1", "m2", "m3"}
        assert all(r.message.startswith("several models of fake failed; kept out for another") for r in told)
        assert (
            told[3].remedy == "one trial follows by itself; mai switch m3 tries it again now; mai logs has the errors"
        )
        broken[3].load_failures.clear()
        await mai.switch("m3")
        assert (await mai.process_message("hi")).message.model == "m3"
        assert not (await mai.get_status()).kept_out
