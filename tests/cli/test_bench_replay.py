"""``mai bench replay``: what it prints, what it refuses."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from conftest import Run

from mai_core.bench.replay.result import Replayed


@pytest.fixture
def outcomes(tmp_path: Path) -> str:
    draw = random.Random(1)
    lines = ["prompt_id,task,prompt,model,correct,cost"]
    for i in range(60):
        task, word = (("sums", "add"), ("songs", "verse"))[i % 2]
        for name, right, cost in (("small", 0.9 - 0.6 * (i % 2), 1), ("large", 0.8, 10)):
            lines.append(f"{i},{task},{word} {i % 7},{name},{int(draw.random() < right)},{cost}")
    (tmp_path / "made.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "made.csv")


QUICK = ("--folds", "3", "--rounds", "100", "--jobs", "1", "--strategies", "cost-aware,greedy-fit")


def test_models_routers_and_gaps_are_told(mai: Run, outcomes: str) -> None:
    told = mai("bench", "replay", outcomes, *QUICK, "--held-out-tasks")
    assert told.code == 0
    assert told.out.startswith("made: 60 prompts of 2 tasks, 2 models.\n")
    for expected in ("Prompts held out, 3 folds", "Every task held out in turn", "From small to large", "CPT 80 %"):
        assert expected in told.out
    routers = [line.split()[0] for line in told.out.splitlines() if line]
    for name in ("cost-aware", "greedy-fit", "learned", "per-task", "hull", "random", "oracle"):
        assert routers.count(name) >= 2
    assert "60 prompts" in told.err


def test_json_is_what_was_found_and_the_seed_decides(mai: Run, outcomes: str, tmp_path: Path) -> None:
    points, kept = tmp_path / "points.csv", tmp_path / "kept.jsonl"
    extra = ("--json", "--points", str(points), "--resume", str(kept))
    (data,) = mai("bench", "replay", outcomes, *QUICK, *extra).json["tables"]
    found = Replayed.of_json(data)
    assert [one.name for one in found.section().standings][:2] == ["cost-aware", "greedy-fit"]
    (again,) = mai("bench", "replay", outcomes, *QUICK, *extra).json["tables"]
    assert again == data
    with points.open() as file:
        curve = [row for row in csv.DictReader(file) if row["contestant"] == "cost-aware"]
    assert [float(row["accuracy"]) for row in curve] == [
        p.accuracy for p in found.section().standing("cost-aware").points
    ]


def test_csv_has_a_row_for_each(mai: Run, outcomes: str) -> None:
    rows = list(csv.DictReader(mai("bench", "replay", outcomes, *QUICK, "--csv").out.splitlines()))
    assert {row["section"] for row in rows} == {"out-of-fold"}
    assert len(rows) == 7


def test_the_list_needs_no_table(mai: Run) -> None:
    assert "cost-aware" in mai("bench", "replay", "--list").out
    told = mai("bench", "replay", "--list", "--json").json
    assert {"greedy-fit", "tiered", "cost-aware"} <= set(told["strategies"])
    assert set(told["references"]) == {"learned", "per-task mean", "hull", "random", "oracle"}


@pytest.mark.parametrize(
    "options",
    [
        ("--strategies", "nobody"),
        ("--memory", "much"),
        ("--memory", "8GiB", "--machine", "laptop-8gb"),
        ("--machine", "abacus"),
        ("--quantisation", "Q17"),
        ("--folds", "1"),
    ],
)
def test_what_makes_no_sense_is_refused(mai: Run, outcomes: str, options: tuple[str, ...]) -> None:
    assert mai("bench", "replay", outcomes, *options).code == 2


def test_without_a_table_it_says_so(mai: Run) -> None:
    assert mai("bench", "replay").code == 2


def test_a_fault_in_a_table_is_one_line(mai: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("prompt_id,model,correct,cost\n1,a,often,1\n")
    told = mai("bench", "replay", str(tmp_path / "t.csv"))
    assert told.code == 1
    assert told.err.strip() == "mai: t.csv, line 2, column correct: 'often' is not a number"


def test_models_of_unknown_size_do_not_fit_anywhere(mai: Run, outcomes: str) -> None:
    told = mai("bench", "replay", outcomes, *QUICK, "--memory", "8GiB")
    assert told.code == 1
    assert "its parameters are not known" in told.err
