"""The figures of a replay: by hand where they can be, and by law."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.bench.replay.contestants import Contestant, Run, blind, random_choice, reference, single_models
from mai_core.bench.replay.curves import Point, accuracy_at, aiq, cost_of, hull, rising
from mai_core.bench.replay.forecasts import truth
from mai_core.bench.replay.gains import Gain, closed_gap, gap_intervals
from mai_core.bench.replay.intervals import intervals, resamples
from mai_core.bench.replay.pool import Pool
from mai_core.bench.replay.standings import Bars, standings

from .worlds import COST, RIGHT, pool_of, pools

EVERY_PRICE = 10**9
POINTS = st.lists(st.builds(Point, COST, st.floats(0.0, 1.0)), min_size=1, max_size=8)


def test_a_rising_curve_keeps_what_no_cheaper_point_equals() -> None:
    points = [Point(3, 0.6), Point(1, 0.4), Point(5, 0.5), Point(2, 0.4), Point(3, 0.55)]
    assert rising(points) == [Point(1, 0.4), Point(3, 0.6)]


def test_the_hull_leaves_out_what_drawing_between_two_others_beats() -> None:
    assert hull([Point(1, 0.2), Point(2, 0.3), Point(3, 0.6), Point(4, 0.55)]) == [Point(1, 0.2), Point(3, 0.6)]
    assert hull([Point(1, 0.25), Point(2, 0.5), Point(3, 0.75)]) == [Point(1, 0.25), Point(3, 0.75)]


def test_aiq_is_the_mean_height_between_the_cheapest_and_the_dearest_single_model() -> None:
    bars = Bars.of([Point(1, 0.4), Point(3, 0.6), Point(5, 0.5)])
    # From 1 to 3 the mean of 0.4 and 0.6, from there to 5 the 0.6 that has been reached.
    assert bars.area(bars.hull) == pytest.approx((2 * 0.5 + 2 * 0.6) / 4)
    assert bars.area(bars.curve([Point(2, 0.8)])) == pytest.approx((1 * 0.6 + 3 * 0.8) / 4)


def test_below_its_cheapest_point_a_curve_is_worth_nothing() -> None:
    assert aiq([Point(2, 1.0)], 1, 3) == pytest.approx(0.5)
    assert aiq([Point(1, 0.7)], 1, 1) == pytest.approx(0.7)
    assert accuracy_at([Point(2, 1.0)], 1) == 0.0


def test_the_cost_at_which_an_accuracy_is_reached() -> None:
    curve = [Point(1, 0.4), Point(3, 0.6)]
    assert cost_of(curve, 0.5) == pytest.approx(2)
    assert cost_of(curve, 0.3) == 1
    assert cost_of(curve, 0.7) is None


def test_apgr_and_cpt_of_a_perfect_order() -> None:
    found = closed_gap([1, 9, 8, 0], weak=[1, 0, 0, 0], strong=[1, 1, 1, 0])
    assert found.curve == (Gain(0, 0), Gain(0.25, 0.5), Gain(0.5, 1), Gain(0.75, 1), Gain(1, 1))
    assert found.apgr == pytest.approx(0.25 * 0.25 + 0.25 * 0.75 + 0.5)
    assert found.share_for(0.5) == pytest.approx(0.25)
    assert found.share_for(0.8) == pytest.approx(0.40)
    assert found.at(0.3) == pytest.approx(0.6)


def test_who_sends_where_the_strong_model_wins_gets_more_than_all_of_the_gap() -> None:
    found = closed_gap([0, 9, 8], weak=[1, 0, 0], strong=[0, 1, 1])
    assert found.apgr == pytest.approx((0.5 + 1.5 + 1.5) / 3)


def test_equal_scores_are_as_if_drawn() -> None:
    found = closed_gap([5, 5, 5, 5], weak=[1, 0, 0, 0], strong=[1, 1, 1, 0])
    assert (found.apgr, found.share_for(0.5), found.share_for(0.8)) == pytest.approx((0.5, 0.5, 0.8))
    partly = closed_gap([5, 5, 0, 0], weak=[0, 0, 0, 0], strong=[1, 0, 0, 1])
    assert partly.curve == (Gain(0, 0), Gain(0.5, 0.5), Gain(1, 1))


def test_between_equally_good_models_there_is_no_gap() -> None:
    assert closed_gap([1, 2], weak=[1, 0], strong=[0, 1]).apgr is None
    assert gap_intervals({"any": [1, 2]}, [1, 0], [0, 1], rounds=10) == {}


@given(rows=st.lists(st.tuples(st.integers(0, 3), RIGHT, RIGHT), min_size=2, max_size=12), draw=st.randoms())
def test_no_order_of_rows_changes_a_gap(rows: list[tuple[int, float, float]], draw: object) -> None:
    shuffled = list(rows)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (closed_gap(*map(list, zip(*each, strict=True))) for each in (rows, shuffled))
    assert one.apgr == (None if other.apgr is None else pytest.approx(other.apgr))


def test_means_of_resamples_are_those_of_the_prompts_drawn() -> None:
    columns = [[0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0]]
    for right, cost in resamples(columns, rounds=50, seed=3):
        assert right * 4 == pytest.approx(round(right * 4), abs=1e-5)
        assert 1.0 <= cost <= 4.0
    told = [means[0] for means in resamples(columns, rounds=4000, seed=3)]
    assert sum(told) / len(told) == pytest.approx(0.5, abs=0.02)


@given(st.lists(st.tuples(RIGHT, RIGHT), min_size=1, max_size=20))
def test_an_interval_contains_its_point(pairs: list[tuple[float, float]]) -> None:
    columns = [list(column) for column in zip(*pairs, strict=True)]
    for low, value, high in (
        (i.low, i.value, i.high) for i in intervals(columns, lambda m: [m[0] - m[1], max(m)], rounds=40)
    ):
        assert low <= value <= high


def test_a_paired_difference_of_the_same_has_no_width() -> None:
    (same,) = intervals([[0, 1, 1, 0, 1]] * 2, lambda means: [means[0] - means[1]], rounds=50)
    assert same == (0.0, 0.0, 0.0)


def _areas(pool: Pool, contestants: list[Contestant]) -> list[float]:
    bars = Bars.of(pool.singles)
    count = len(pool.prompts)
    return [
        bars.area(bars.curve([Point(sum(run.cost) / count, sum(run.correct) / count) for run in one.runs]))
        for one in contestants
    ]


@settings(max_examples=150)
@given(pools(), st.data())
def test_nobody_beats_the_oracle(pool: Pool, data: st.DataObject) -> None:
    choices = st.lists(st.integers(0, len(pool.models) - 1), min_size=len(pool.prompts), max_size=len(pool.prompts))
    anybody = Contestant("anybody", tuple(Run.of(pool, data.draw(choices)) for _ in range(3)))
    oracle = reference(pool, truth(pool), "oracle", steps=EVERY_PRICE)
    best, some, singles, drawn = _areas(pool, [oracle, anybody, single_models(pool), random_choice(pool)])
    assert best >= max(some, singles, drawn) - 1e-9


@given(POINTS, st.data())
def test_a_dominated_model_changes_no_hull(points: list[Point], data: st.DataObject) -> None:
    better = data.draw(st.sampled_from(points))
    dominated = Point(better.cost * data.draw(st.floats(1.0, 3.0)), better.accuracy * data.draw(st.floats(0.0, 1.0)))
    assert hull([*points, dominated]) == hull(points)


@given(POINTS)
def test_a_hull_is_concave_and_above_every_point(points: list[Point]) -> None:
    top = hull(points)
    assert all(accuracy_at(top, p.cost) >= p.accuracy - 1e-9 for p in points)
    slopes = [(b.accuracy - a.accuracy) / (b.cost - a.cost) for a, b in pairwise(top)]
    assert all(later <= slope * (1.0 + 1e-6) for slope, later in pairwise(slopes))


@settings(max_examples=40)
@given(pools())
def test_figures_stand_in_their_intervals_and_do_not_depend_on_who_else_competes(pool: Pool) -> None:
    means, drawn = single_models(pool), random_choice(pool)
    oracle = reference(pool, truth(pool), "oracle")
    alone = standings(pool, [drawn], means, rounds=30)
    together = standings(pool, [oracle, drawn], means, rounds=30)
    assert together[1] == alone[0]
    for one in together:
        for told in (one.aiq or one.accuracy, one.over_hull, one.over_means):
            assert told is not None
            assert told.low <= told.value <= told.high


def test_whoever_draws_blindly_by_its_own_table_is_the_hull() -> None:
    pool = pool_of([[0, 1, 0], [0, 0, 1], [1, 1, 1]], [[1, 2, 9], [1, 2, 9], [1, 2, 9]])
    (told,) = standings(pool, [single_models(pool)], single_models(pool), rounds=30)
    assert told.settings == ("a", "b")
    assert told.over_hull is not None
    assert told.over_hull.value == pytest.approx(0.0)
    assert told.aiq is not None
    # From 1 to 2 the mean of 1/3 and 2/3, from there to 9 the 2/3 that b reaches and c does not better.
    assert told.aiq.value == pytest.approx((0.5 + 7 * 2 / 3) / 8)
    assert told.as_best == pytest.approx(1.0)


def test_a_model_off_a_sides_hull_is_replaced_there_by_the_next_cheaper_on_it() -> None:
    pool = pool_of([[0, 1, 1], [0, 1, 1]], [[1, 2, 3], [1, 2, 3]])
    first, second = [Point(1, 0.1), Point(2, 0.3), Point(3, 0.9)], [Point(1, 0.1), Point(2, 0.5), Point(3, 0.4)]
    made = blind(pool, [first, second], [0, 1], "blind")
    assert [run.cost for run in made.runs] == [(1, 1), (1, 2), (3, 2)]


def test_a_router_of_one_setting_is_held_against_the_hull_at_its_cost() -> None:
    pool = pool_of([[0, 1], [1, 1], [0, 1], [0, 1]], [[1, 5]] * 4)
    one = Contestant("half", (Run.of(pool, [0, 0, 1, 1]),))
    (told,) = standings(pool, [one], single_models(pool), rounds=30)
    # Three right for 3; the hull, halfway between (1, 1/4) and (5, 1), has 5/8 there.
    assert told.accuracy is not None
    assert told.over_hull is not None
    assert told.accuracy.value == pytest.approx(0.75)
    assert told.over_hull.value == pytest.approx(0.125)
    assert told.aiq is None


def test_a_fault_takes_the_place_of_figures() -> None:
    pool = pool_of([[0, 1]], [[1, 5]])
    broken = replace(random_choice(pool), fault="raised", runs=())
    (told,) = standings(pool, [broken], single_models(pool), rounds=30)
    assert (told.fault, told.points, told.aiq, told.top) == ("raised", (), None, None)
