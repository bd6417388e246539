"""Laws of budgets: whatever is asked, in whatever order, no limit is exceeded."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mai_core.policy.budget import IMAGE_TOKENS, LEAST_REPLY, PAID_REPLY, Budget, cost_of, granted, most_tokens
from mai_core.policy.exclusion import exclusion
from mai_core.policy.features import TaskFeatures
from mai_core.policy.messages import GenerationOptions, Image, Message, Role, Tool
from mai_core.policy.models import ModelProfile
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.selection import RejectionReason
from mai_core.policy.situation import Situation
from tests.pictures import png

prices = st.floats(0.0, 100.0).map(lambda price: round(price, 4))
tokens = st.integers(0, 200_000)


def model_at(price_in: float, price_out: float) -> ModelProfile:
    return ModelProfile(key="m", backend="b", location="", price_in=price_in, price_out=price_out)


models = st.builds(model_at, prices, prices)
limits = st.none() | st.floats(0.0, 5.0)


@given(limits, limits, st.lists(st.tuples(models, tokens, tokens, st.floats(0.0, 1.0), st.booleans()), max_size=20))
def test_no_sequence_of_turns_exceeds_a_limit(
    per_day: float | None,
    per_month: float | None,
    turns: list[tuple[ModelProfile, int, int, float, bool]],
) -> None:
    budget = Budget.of(per_day, per_month)
    for model, prompt, wanted, used, settles in turns:
        grant = granted(budget, model, prompt, wanted)
        if grant is None:
            continue
        reply = int(used * (grant.max_tokens or PAID_REPLY))
        spent = cost_of(model, int(used * prompt), reply)
        assert spent <= grant.amount
        counted = spent if settles else grant.amount
        budget = replace(budget, today=budget.today + counted, month=budget.month + counted)
        for limit, so_far in ((budget.per_day, budget.today), (budget.per_month, budget.month)):
            assert limit is None or so_far <= limit


@given(models, tokens, tokens, st.integers(0, 10**10))
@example(model_at(0.0001, 0.0001), 1, 0, 7)
@example(model_at(0.0001, 0.0001), 1, 0, 8)
def test_a_reply_gets_as_much_as_can_be_paid_and_no_more(
    model: ModelProfile, prompt: int, wanted: int, left: int
) -> None:
    grant = granted(Budget(per_day=left), model, prompt, wanted)
    most = wanted or PAID_REPLY
    if grant is None:
        assert cost_of(model, prompt, min(most, LEAST_REPLY)) > left
    else:
        assert 0 < grant.max_tokens <= most
        if grant.max_tokens < most:
            assert cost_of(model, prompt, grant.max_tokens + 1) > left


@given(models, tokens, tokens)
def test_without_a_limit_nothing_is_capped(model: ModelProfile, prompt: int, wanted: int) -> None:
    grant = granted(Budget(today=10**12), model, prompt, wanted)
    assert grant is not None
    assert grant.max_tokens == wanted


@given(st.lists(st.text(max_size=20), max_size=4), st.text(max_size=10))
@settings(max_examples=40)
def test_a_prompt_has_no_more_tokens_than_is_reckoned_with(texts: list[str], described: str) -> None:
    """A tokeniser that takes every byte for a token is the worst there is."""
    said = [Message(role=Role.USER, content=text) for text in texts]
    options = GenerationOptions(tools=(Tool(name="t", description=described),))
    bytes_ = sum(len(text.encode()) for text in (*texts, described))
    assert most_tokens(said, options) >= bytes_ + 10 * len(texts)
    seen = Message(role=Role.USER, content="", images=(Image(name="i", data=png(2, 2)),))
    assert most_tokens([*said, seen], options) >= most_tokens(said, options) + IMAGE_TOKENS


def test_what_is_left_is_said_in_words_and_what_cannot_be_paid_is_rejected() -> None:
    budget = Budget.of(1.0, 20.0)
    budget = replace(budget, today=420_000_000, month=3_100_000_000, open=80_000_000)
    assert budget.words == "0.42 of 1.00 today, 3.10 of 20.00 this month"
    assert budget.words_of_open.startswith("0.0800 of it is reserved")
    assert Budget().words == Budget().words_of_open == ""
    assert Budget(today=420_000_000, month=3_100_000_000).words == "0.42 today, 3.10 this month"

    model = replace(model_at(10.0, 30.0), installed=True, max_context=128_000, remote=True)
    asked = TaskFeatures(prompt_tokens=1000)
    situation = Situation(models=(model,), snapshot=ResourceSnapshot(()), features=asked, budget=budget)
    assert exclusion(model, situation) is None
    poor = replace(situation, budget=replace(budget, today=995_000_000))
    rejection = exclusion(model, poor)
    assert rejection is not None
    assert rejection.reason is RejectionReason.BUDGET
    assert rejection.message == "even a short reply may cost 0.0119, and 0.99 of 1.00 is spent today"
    assert rejection.remedy == "mai config set cost.budget_day AMOUNT"
    late = replace(situation, budget=replace(budget, month=20_000_000_000))
    assert "this month" in exclusion(model, late).message  # type: ignore[union-attr]
    assert exclusion(replace(model, price_in=0.0, price_out=0.0), poor) is None
