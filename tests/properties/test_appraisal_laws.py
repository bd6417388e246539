"""What an estimate says is what a decision does."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from test_policy_laws import situations, snapshot

from mai_core.policy.appraisal import Asked, appraise
from mai_core.policy.feasibility import Situation, feasible
from mai_core.policy.models import Footprint
from mai_core.policy.selection import Rung


@given(situations(least=1))
def test_an_estimate_says_it_fits_exactly_when_a_decision_would_load_it(situation: Situation) -> None:
    candidates = {c.key: c for c in feasible(situation).candidates if c.rung is not Rung.SLOW}
    for model in situation.models:
        found = appraise(model, situation)
        assert found.verdict is not None
        assert found.estimate is not None
        candidate = candidates.get(model.key)
        assert found.verdict.fits == (candidate is not None)
        if candidate is not None:
            assert (found.plan.context, found.plan.kv_type) == (candidate.plan.context, candidate.plan.kv_type)
            assert found.estimate.footprint == candidate.footprint
            assert found.speed.generation_tps == candidate.tokens_per_second
        else:
            assert found.verdict.remedy


@given(situations(least=1))
def test_the_parts_add_up_to_what_is_corrected(situation: Situation) -> None:
    for model in situation.models:
        found = appraise(model, situation, Asked(context=1024, parallel=2))
        together = Footprint(sum(p.anonymous for p in found.parts), sum(p.file_backed for p in found.parts))
        assert found.estimate is not None
        assert situation.corrections(model).estimate(together).footprint == found.estimate.footprint


def loads(situation: Situation) -> bool:
    return any(c.rung is not Rung.SLOW for c in feasible(situation).candidates)


@settings(max_examples=30)
@given(situations(least=1))
def test_the_two_agree_to_the_mebibyte(situation: Situation) -> None:
    total = 512 * 2**30

    def having(free: int) -> Situation:
        return replace(situation, models=situation.models[:1], snapshot=snapshot(total, free))

    short, enough = 0, total
    while enough - short > 2**20:
        middle = (short + enough) // 2
        short, enough = (short, middle) if loads(having(middle)) else (middle, enough)
    for free, fits in ((short, False), (enough, True)):
        found = appraise(situation.models[0], having(free)).verdict
        assert found is not None
        assert found.fits == fits
