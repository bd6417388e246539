"""Who leaves memory: enough and nobody in vain, at the least expected cost."""

from __future__ import annotations

from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.eviction import MOST_COMBINED, Tenant, heat_after, to_evict


@st.composite
def tenants(draw: st.DrawFn, most: int = 14) -> list[Tenant[int]]:
    facts = st.tuples(st.integers(0, 100), st.floats(0.0, 60.0), st.floats(0.0, 10.0))
    return [Tenant(i, *fact) for i, fact in enumerate(draw(st.lists(facts, max_size=most)))]


@given(tenants(), st.integers(-10, 500))
def test_enough_is_freed_when_it_can_be_and_nobody_leaves_in_vain(there: list[Tenant[int]], needed: int) -> None:
    chosen = [there[i] for i in to_evict(there, needed)]
    freed = sum(t.bytes for t in chosen)
    if needed <= 0:
        assert not chosen
    elif sum(t.bytes for t in there) < needed:
        assert len(chosen) == len(there)
    else:
        assert freed >= needed
        assert all(freed - t.bytes < needed for t in chosen)


@given(tenants(most=6), st.integers(1, 300))
def test_no_other_choice_would_cost_less(there: list[Tenant[int]], needed: int) -> None:
    assert len(there) <= MOST_COMBINED
    groups = chain.from_iterable(combinations(there, n) for n in range(1, len(there) + 1))
    enough = [sum(t.value for t in group) for group in groups if sum(t.bytes for t in group) >= needed]
    if enough:
        assert sum(there[i].value for i in to_evict(there, needed)) <= min(enough) + 1e-9


@given(tenants(), st.integers(1, 300), st.randoms(use_true_random=False))
def test_the_order_they_are_listed_in_does_not_matter(there: list[Tenant[int]], needed: int, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(there, len(there))
    one, other = (sum(t.value for t in there if t.id in to_evict(order, needed)) for order in (there, shuffled))
    assert abs(one - other) < 1e-6


def test_recent_use_keeps_and_a_cheap_reload_does_not() -> None:
    used, forgotten = Tenant("used", 10, 5.0, 3.0), Tenant("forgotten", 10, 5.0, heat_after(3.0, 40))
    assert to_evict([used, forgotten], 10) == ("forgotten",)
    quick = Tenant("quick", 10, 0.1, 3.0)
    assert to_evict([used, quick], 10) == ("quick",)


def test_room_is_made_to_measure() -> None:
    large, small = Tenant("large", 100, 0.0), Tenant("small", 10, 0.0)
    assert to_evict([large, small], 10) == ("small",)
    assert to_evict([small, large], 50) == ("large",)
