"""What is measured within a time: which models, how much, and who is left in peace."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.policy.calibration import SIZES, busyness, next_trial, untried, words
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import Footprint, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, Pressure, ResourceSnapshot
from mai_core.policy.situation import Situation

GIB = 2**30


def _model(key: str, gib: float, **facts: object) -> ModelProfile:
    size = int(gib * GIB)
    return ModelProfile(key=key, backend="e", location=key, size_bytes=size, max_context=8192, **facts)  # type: ignore[arg-type]


def _situation(*models: ModelProfile, free: int = 16, **facts: object) -> Situation:
    host = Host(pools=(MemoryPool("ram", PoolKind.RAM, 32 * GIB, free * GIB),), cpu=Cpu(4))
    return Situation(models=models, snapshot=ResourceSnapshot((host,)), features=TaskFeatures(), **facts)  # type: ignore[arg-type]


def _all(situation: Situation, seconds: float) -> list[tuple[str, float]]:
    """The trials that would be made if each took what it is expected to."""
    made: list[tuple[str, float]] = []
    while (trial := next_trial(situation, seconds, done={key for key, _ in made})) is not None:
        made.append((trial.key, trial.seconds))
        seconds -= trial.seconds
    return made


@given(
    sizes=st.lists(st.floats(0.05, 8.0), min_size=1, max_size=6),
    seconds=st.floats(1.0, 600.0),
)
@settings(max_examples=60, deadline=None)
def test_smallest_first_within_the_time_and_everybody_is_accounted_for(sizes: list[float], seconds: float) -> None:
    models = [_model(f"m{number}", gib) for number, gib in enumerate(sizes)]
    situation = _situation(*models)
    made = _all(situation, seconds)
    by_key = {m.key: m.size_bytes for m in models}
    assert [by_key[key] for key, _ in made] == sorted(by_key[key] for key, _ in made)
    assert sum(taken for _, taken in made[1:]) <= max(0.0, seconds - made[0][1]) + 1e-6
    left = untried(situation, done={key for key, _ in made})
    assert {key for key, _ in made} | {one.key for one in left} == set(by_key)
    assert all(one.why for one in left)


def test_more_time_gives_more_to_read() -> None:
    situation = _situation(_model("m", 1.0))
    tokens = [trial.size.prompt for seconds in (1, 10, 60) if (trial := next_trial(situation, seconds))]
    assert tokens == sorted(tokens)
    assert tokens[0] < tokens[-1] == SIZES[0].prompt


def test_a_small_window_is_not_overrun() -> None:
    trial = next_trial(_situation(replace(_model("m", 0.1), max_context=1024)), 600.0)
    assert trial is not None
    assert trial.size.prompt + trial.size.reply < trial.plan.context


def test_who_is_used_by_somebody_is_left_in_peace() -> None:
    mine, theirs = _model("mine", 1.0), replace(_model("theirs", 0.5), backend="other")
    used = LoadedModel(
        instance="1", key="theirs", backend="other", plan=LoadPlan(context=4096), footprint=Footprint(GIB), owned=False
    )
    situation = _situation(mine, theirs, replace(theirs, key="sibling"), loaded=(used,))
    assert [key for key, _ in _all(situation, 600.0)] == ["mine"]
    assert {one.key: one.why for one in untried(situation, done={"mine"})} == {
        "theirs": "somebody uses theirs on other",
        "sibling": "somebody uses theirs on other",
    }


def test_what_does_not_fit_or_only_slowly_is_named_with_a_remedy() -> None:
    assert next_trial(_situation(_model("large", 8.0), free=2), 60.0) is None
    (left,) = untried(_situation(_model("large", 8.0), free=2))
    assert left.remedy
    assert next_trial(_situation(_model("far", 1.0, remote=True, host="far")), 60.0) is None


def test_only_what_was_asked_for() -> None:
    situation = _situation(_model("a", 0.2), _model("b", 0.3))
    trial = next_trial(situation, 60.0, wanted={"b"})
    assert trial is not None
    assert trial.key == "b"
    assert untried(situation, done={"b"}, wanted={"b"}) == ()


def test_a_busy_machine_is_told_from_one_that_mai_keeps_busy() -> None:
    calm, busy = Host(cpu=Cpu(4, 0.05)), Host(cpu=Cpu(4, 0.9))
    assert busyness(calm, alone=True) == ""
    assert "90% of the 4 cores" in busyness(busy, alone=True)
    assert busyness(busy, alone=False) == ""
    assert "core" in busyness(replace(busy, pressure=Pressure(cpu_some=0.6)), alone=False)
    assert "memory" in busyness(replace(calm, pressure=Pressure(memory_some=0.3)), alone=False)


@given(busy=st.floats(0, 1), raw=st.floats(0, 1), seconds=st.floats(0.5, 60))
def test_a_burst_before_a_look_is_not_in_it(busy: float, raw: float, seconds: float) -> None:
    before = Cpu(2, busy)
    seen = Cpu(2, raw).smoothed(before, seconds).since(before, seconds)
    assert abs(seen.busy - raw) < 1e-6


def test_no_two_texts_begin_alike() -> None:
    texts = [words(40, salt) for salt in range(50)]
    assert len({tuple(text.split()[:4]) for text in texts}) > 45
    assert all(len(text.split()) == 40 for text in texts)
