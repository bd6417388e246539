"""Whole replays: who wins where there is something to win, and what holds whatever the table."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mai_core.bench.replay import contestants, learning
from mai_core.bench.replay.cells import TableError
from mai_core.bench.replay.contestants import Setting, strategies
from mai_core.bench.replay.export import points_csv, standings_csv
from mai_core.bench.replay.folds import by_fold, by_task, checks_of, in_blocks
from mai_core.bench.replay.forecasts import Forecast, by_means, truth
from mai_core.bench.replay.pool import Pool, choose
from mai_core.bench.replay.requests import requests_of
from mai_core.bench.replay.result import HELD_OUT, Replayed
from mai_core.bench.replay.study import Terms, replay
from mai_core.bench.replay.tables import read_table
from mai_core.bench.replay.trust import NONE, Check, Trust, believed, proven
from mai_core.policy.selection import Proposal, SelectionRequest
from mai_strategies.cost_aware import CostAware
from mai_strategies.greedy_fit import GreedyFit

from .worlds import pool_of, two_tasks, written

FEW = Terms(rounds=100, folds=4)
TABLES = os.environ.get("MAI_TEST_TABLES", "")


@dataclass(frozen=True)
class Wrong:
    """Proposes somebody who is not there."""

    name: ClassVar[str] = "wrong"

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal("nobody", 1.0)]


@dataclass(frozen=True)
class Picky:
    """Somebody else's, with settings of its own to be tried."""

    name: ClassVar[str] = "picky"
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"worth": (0.0, 0.5, 1.0)}
    worth: float = 1.0

    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return [Proposal(c.key, self.worth * c.quality + (1 - self.worth) / (1 + c.money)) for c in request.candidates]


def build(name: str, options: Mapping[str, Any]) -> Any:
    return {cls.name: cls for cls in (CostAware, GreedyFit, Wrong, Picky)}[name](**options)


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return choose(read_table(written(tmp_path_factory.mktemp("replay") / "made.csv", two_tasks())))


@pytest.fixture(scope="session")
def found(pool: Pool) -> Replayed:
    return replay(pool, {name: {} for name in ("cost-aware", "greedy-fit", "wrong", "picky")}, build, FEW)


def test_where_texts_tell_the_better_model_learning_wins(found: Replayed) -> None:
    learned = found.section().standing("learned")
    assert learned.over_hull is not None
    assert learned.over_hull.above_zero
    assert learned.as_best is not None
    assert learned.as_best < 0.8
    assert all(trusted.quality > 0.0 for trusted in found.section().trusted)


def test_strategies_see_what_was_learnt(found: Replayed) -> None:
    aware, greedy = (found.section().standing(name) for name in ("cost-aware", "greedy-fit"))
    assert aware.over_hull is not None
    assert aware.over_hull.above_zero
    assert aware.aiq is not None
    assert greedy.aiq is None
    assert greedy.accuracy is not None
    assert greedy.accuracy.value > max(model.accuracy for model in found.models)
    assert found.section().standing("picky").settings == ("worth 0.0", "worth 0.5", "worth 1.0")


def test_how_many_processes_choose_does_not_matter(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "PART", 50)
    tried = {"greedy-fit": [Setting(GreedyFit())], "cost-aware": [Setting(CostAware(target=t)) for t in (0.3, 0.6)]}
    knows = truth(pool)
    assert strategies(pool, knows, tried, jobs=2) == strategies(pool, knows, tried)


def test_who_cannot_be_sent_elsewhere_is_asked_here(pool: Pool) -> None:
    local = type("Local", (GreedyFit,), {})
    tried = {"local": [Setting(local())], "greedy-fit": [Setting(GreedyFit())]}
    one, other = strategies(pool, truth(pool), tried, jobs=2)
    assert one.runs == other.runs


def test_who_breaks_the_rules_is_out_and_named(found: Replayed) -> None:
    assert found.section().standing("wrong").points == ()
    assert found.faults == ["wrong: proposed 'nobody', which is not a candidate (prompt 000)"]


def test_nobody_beats_the_oracle_nor_is_below_nothing(found: Replayed) -> None:
    areas = [one.aiq.value for one in found.section().standings if one.aiq is not None]
    oracle = found.section().standing("oracle").aiq
    assert oracle is not None
    assert oracle.value == max(areas)


def test_gaps_between_the_cheapest_and_the_best(found: Replayed) -> None:
    assert (found.weak, found.strong) == ("small", "large")
    learned, means, oracle = found.section().gaps
    assert oracle.apgr.value > max(learned.apgr.value, means.apgr.value) > 0.6
    assert oracle.cpt50.value <= oracle.cpt80.value
    assert (oracle.curve[0], oracle.curve[-1]) == ((0.0, 0.0), (1.0, 1.0))


def test_a_result_goes_through_json(found: Replayed) -> None:
    assert Replayed.of_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_result_as_csv(found: Replayed) -> None:
    lines = standings_csv([found]).splitlines()
    assert lines[0].startswith("table,section,contestant,aiq,aiq_low,aiq_high,accuracy")
    assert len(lines) == 1 + len(found.section().standings)
    points = points_csv([found]).splitlines()
    assert len(points) == 1 + sum(len(one.points) for one in found.section().standings)


def test_no_order_of_rows_changes_a_figure(pool: Pool, found: Replayed, tmp_path: Path) -> None:
    lines = two_tasks()
    random.Random(7).shuffle(lines)
    again = choose(read_table(written(tmp_path / "made.csv", lines)))
    names = ("cost-aware", "greedy-fit", "wrong", "picky")
    assert replay(again, {name: {} for name in names}, build, FEW) == found


def test_what_has_been_learnt_is_not_learnt_again(
    pool: Pool, found: Replayed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = replace(FEW, resume=tmp_path / "kept.jsonl")
    first = replay(pool, {}, build, terms)
    with (tmp_path / "kept.jsonl").open("a") as cut:
        cut.write('{"digest": "cut o')

    def learns(*_: object) -> Forecast:
        raise AssertionError("learns")

    monkeypatch.setattr(learning, "by_text", learns)
    assert replay(pool, {}, build, terms) == first
    assert first.section().standing("learned") == found.section().standing("learned")
    with pytest.raises(AssertionError, match="learns"):
        replay(pool.at(range(100)), {}, build, terms)


def test_a_task_never_seen_is_not_believed_by_what_two_tell(pool: Pool) -> None:
    section = replay(pool, {}, build, replace(FEW, held_out=True)).section(HELD_OUT)
    assert [(told.split, told.quality, told.cost) for told in section.trusted] == [("songs", 0, 0), ("sums", 0, 0)]
    learned = section.standing("learned")
    assert learned.over_hull is not None
    assert learned.settings == ("small", "large")


def test_where_texts_tell_nothing_the_hull_is_kept(tmp_path: Path) -> None:
    draw = random.Random(3)
    lines = []
    for i in range(150):
        text = " ".join(draw.choices("abcdefgh", k=5))
        for name, right, cost in (("s", 0.4, 1), ("m", 0.6, 3), ("l", 0.8, 9)):
            lines.append(f"{i:03},,{text},{name},{int(draw.random() < right)},{cost}")
    found = replay(choose(read_table(written(tmp_path / "t.csv", lines))), {}, build, FEW)
    learned = found.section().standing("learned")
    assert learned.over_hull is not None
    assert not learned.over_hull.below_zero
    assert {(told.quality, told.cost) for told in found.section().trusted} == {(0.0, 0.0)}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.5), (0.5, 0.6), (1.0, 0.7)])
def test_trust_lies_between_the_means_and_what_is_told(share: float, expected: float) -> None:
    means, told = (Forecast(((q,),), ((c,),), ((c,),)) for q, c in ((0.5, 10.0), (0.7, 30.0)))
    made = believed(means, told, Trust(share, 1.0 - share))
    assert made.quality[0][0] == pytest.approx(expected)
    assert made.cost[0][0] == pytest.approx(30.0 - 20.0 * share)


def test_who_is_wrong_on_one_of_two_checks_is_not_trusted() -> None:
    right = [[1, 0], [0, 1]] * 60
    pool = pool_of(right, [[1, 2]] * 120)
    splits = by_fold(pool.prompts, 3, seed=1)

    def forecast(places: Sequence[int], turn: Callable[[float], float]) -> Forecast:
        costs = tuple(pool.cost[i] for i in places)
        return Forecast(tuple(tuple(0.1 + 0.8 * turn(v) for v in pool.correct[i]) for i in places), costs, costs)

    good = [Check(split, forecast(split.held, lambda v: v)) for split in splits[:2]]
    bad = Check(splits[1], forecast(splits[1].held, lambda v: 1.0 - v))
    assert proven(pool, good).quality > 0.0
    assert proven(pool, [good[0], bad]) == NONE
    assert proven(pool, []) == NONE


def test_a_forecast_of_means_knows_nothing_of_the_prompt_itself() -> None:
    pool = pool_of([[1, 0], [0, 1], [1, 1], [0, 0]], [[1, 2]] * 4, "xxyy")
    for split in by_fold(pool.prompts, 4, seed=1):
        (place,) = split.held
        changed = replace(pool, correct=tuple((9.0, 9.0) if i == place else row for i, row in enumerate(pool.correct)))
        assert by_means(changed, split) == by_means(pool, split)


def test_every_prompt_is_held_out_once_and_never_learnt_from_there(pool: Pool) -> None:
    for splits in (by_fold(pool.prompts, 5, seed=2), by_task(pool.prompts)):
        assert sorted(i for split in splits for i in split.held) == list(range(len(pool.prompts)))
        assert all(not set(split.seen) & set(split.held) for split in (*splits, *in_blocks(splits)))
    assert in_blocks(by_task(pool.prompts)) == []
    assert checks_of(0, 2) == {}


@pytest.mark.parametrize("count", [3, 5, 8, 14])
def test_what_serves_to_check_has_seen_neither_side(pool: Pool, count: int) -> None:
    splits = by_fold(pool.prompts, count, seed=2)
    blocks = in_blocks(splits)
    for at, split in enumerate(splits):
        checks = checks_of(at, count)
        assert len(checks) >= 2
        for other, block in checks.items():
            assert other != at
            assert set(blocks[block].held) >= set(split.held) | set(splits[other].held)


def test_folds_that_cannot_be_made(pool: Pool) -> None:
    with pytest.raises(TableError, match="200 folds"):
        by_fold(pool.prompts, 200, seed=1)
    with pytest.raises(TableError, match="two or more"):
        by_task(pool.at([0, 2]).prompts)
    with pytest.raises(TableError, match="middle: not one of large, small"):
        replay(pool, {}, build, replace(FEW, weak="middle"))


def test_a_request_tells_nothing_that_is_known_only_afterwards(pool: Pool) -> None:
    (split, *_) = by_fold(pool.prompts, 4, seed=1)
    forecast = by_means(pool, split)
    held = pool.at(split.held)
    blank = replace(held, correct=tuple((0.0, 0.0) for _ in held.prompts), cost=held.cost[::-1])
    assert list(requests_of(held, forecast, 0.5)) == list(requests_of(blank, forecast, 0.5))
    request = next(requests_of(held, forecast, 0.5))
    assert [c.quality for c in request.candidates] == list(forecast.quality[0])
    assert request.candidates[0].cost > request.candidates[1].cost


@pytest.mark.skipif(not TABLES, reason="MAI_TEST_TABLES names no folder of tables")
def test_on_real_outcomes_learning_is_not_below_the_hull() -> None:
    table = read_table(Path(TABLES) / "zeroeval_outcomes.csv.gz")
    pool = choose(table, ["gemma-2-2b-it", "gemma-2-9b-it", "Meta-Llama-3-8B-Instruct"])
    found = replay(pool.at(range(0, len(pool.prompts), 4)), {"cost-aware": {}}, build, FEW)
    learned = found.section().standing("learned")
    assert learned.over_hull is not None
    assert not learned.over_hull.below_zero
