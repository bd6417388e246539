"""Training on a small made-up table: the same bytes each time, and what was planted is found."""

from __future__ import annotations

import csv
import gzip
import random
from pathlib import Path

import pytest

from mai_core.bench import training
from mai_core.bench.heldout import area_under_roc, calibration_error, report
from mai_core.policy.features import classify
from mai_core.policy.models import KnownModel
from mai_core.policy.tasks import TaskModel

WORDS = {
    "law": ["court", "statute", "plaintiff", "contract", "tort", "evidence", "appeal", "jury"],
    "biology": ["cell", "enzyme", "protein", "membrane", "gene", "species", "tissue", "organ"],
    "gsm": ["apples", "dollars", "buys", "sells", "bags", "friends", "hours", "miles"],
}
KNOWN = (
    KnownModel(key="big", parameters=7e10, quality={"default": 0.7, "knowledge": 0.7, "math": 0.8}),
    KnownModel(key="small", parameters=1e9, quality={"default": 0.4, "knowledge": 0.4, "math": 0.5}),
    KnownModel(key="base", parameters=1e9, quality={"knowledge": 0.4}, chat=False),
)


def write(folder: Path, name: str, columns: list[str], rows: list[list[object]]) -> None:
    with gzip.open(folder / name, "wt", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(columns)
        writer.writerows(rows)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 prompts; those that say ``obscure`` nobody answers, the big model alone most of the others."""
    folder = tmp_path_factory.mktemp("tables")
    draw = random.Random(5)
    prompts: list[list[object]] = []
    outcomes: list[list[object]] = []
    for i in range(90):
        task = ("law", "biology", "gsm")[i % 3]
        hard = draw.random() < 0.4
        spoken = [*draw.choices(WORDS[task], k=8), "obscure" if hard else "plain"]
        prompts.append([f"p{i}", task, " ".join(spoken) + "?\nA. yes\nB. no\nC. both\nD. none"])
        outcomes += [[f"p{i}", "big", int(not hard)], [f"p{i}", "small", int(not hard and draw.random() < 0.5)]]
        outcomes += [[f"p{i}", "base", 0], [f"p{i}", "nobody-knows", 1]]
    prompts.append(["odd", "astrology", "which sign?"])
    write(folder, "made_prompts.csv.gz", ["prompt_id", "task", "prompt"], prompts)
    write(folder, "made_outcomes.csv.gz", ["prompt_id", "model", "correct"], outcomes)
    return folder


def test_rated_models_that_converse_and_known_tasks_are_read(tables: Path) -> None:
    examples = training.read_tables(tables, KNOWN)
    assert len(examples) == 90
    assert {model for e in examples for model, _, _ in e.outcomes} == {"big", "small"}


def test_what_was_planted_is_found_and_the_bytes_are_the_same(tables: Path) -> None:
    examples = training.read_tables(tables, KNOWN)
    told = training.train(examples)
    dumped = told.dump(training.provenance(tables, examples))
    again = training.read_tables(tables, KNOWN)
    assert training.train(again).dump(training.provenance(tables, again)) == dumped
    model = TaskModel.load(dumped)
    easy, hard = (
        classify(f"the enzyme of the {word} cell membrane?\nA. yes\nB. no\nC. both\nD. none", model=model)
        for word in ("plain", "obscure")
    )
    assert easy.field == hard.field == "biology"
    assert easy.difficulty + 0.02 < hard.difficulty


def test_held_out_scores_are_told(tables: Path) -> None:
    lines = list(report(training.read_tables(tables, KNOWN)))
    assert lines[0].startswith("out of fold (5 folds): 90 prompts  kind 1.000")
    assert len(lines) == 5


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        training.main([str(tmp_path)])


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    draw = random.Random(2)
    pairs = [(round(draw.random(), 1), draw.random() < 0.4) for _ in range(60)]
    right, wrong = ([p for p, c in pairs if c is which] for which in (True, False))
    share = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong) / (len(right) * len(wrong))
    assert area_under_roc(pairs) == pytest.approx(share)


def test_calibration_is_measured_bin_by_bin() -> None:
    assert calibration_error([(0.25, False), (0.25, False), (0.25, False), (0.25, True)]) == 0.0
    assert calibration_error([(0.95, False), (0.05, True)]) == pytest.approx(0.95)
