"""Trains what tells the kind, the field and the difficulty of a prompt, on tables of which model answered what.

    python -m mai_core.bench.training TABLES --out config/tasks.json

TABLES is a folder with ``{mmlupro,zeroeval}_{prompts,outcomes}.csv.gz`` (docs of the columns: ``read_tables``). Nothing
is drawn by chance but the folds, whose seed is fixed: the same tables and catalogue give the same bytes.

Difficulty is what the catalogue's abilities leave unexplained: an item response model whose abilities are the figures
of models.yaml, so that what is told of a prompt means the same to ``policy.quality``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mai_core.bench.everyday import EVERYDAY
from mai_core.paths import Paths
from mai_core.policy.catalogue import match
from mai_core.policy.kinds import FIELDS, TaskKind
from mai_core.policy.models import KnownModel
from mai_core.policy.regression import Linear, identity, regress, sigmoid, softmax
from mai_core.policy.tasks import TaskClass, TaskModel
from mai_core.policy.terms import terms

__all__ = ["Example", "main", "read_tables", "train"]

SEED = 20
FOLDS = 5
# Chosen on held-out folds.
CLASS_STRENGTH, CLASS_ROUNDS = 1.0, 40
DIFFICULTY_STRENGTH, DIFFICULTY_ROUNDS = 60.0, 30
LEAST = 6
# How often each everyday prompt is counted: together they are a class as large as others.
EVERYDAY_TIMES = 8
# Spread of difficulty between prompts of one class, in logits, before anything is known of them.
SPREAD = 1.5
# The other tables' classes; fields are classes by their own name.
OTHERS = {"gsm": TaskKind.MATH, "crux": TaskKind.CODE}


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt, the class it is of, and who answered it correctly: ability by the catalogue, and whether it did."""

    prompt_id: str
    label: str
    terms: frozenset[bytes]
    text: str
    outcomes: tuple[tuple[str, float, bool], ...]


def read_tables(folder: Path, known: Sequence[KnownModel]) -> list[Example]:
    """The prompts of all tables, with the outcomes of models that ``known`` rates and that converse.

    ``*_prompts.csv.gz`` has the columns prompt_id, task and prompt or question, ``*_outcomes.csv.gz`` prompt_id, model
    and correct (0 or 1). The task is a field (``kinds.FIELDS``), gsm or crux; prompts of others are left out.
    """
    rated = {entry.key: entry for entry in known}
    entries: dict[str, KnownModel | None] = {}
    examples = []
    for file in sorted(folder.glob("*_prompts.csv.gz")):
        outcomes: dict[str, list[tuple[str, bool]]] = {}
        for row in _rows(folder / file.name.replace("_prompts", "_outcomes")):
            outcomes.setdefault(row["prompt_id"], []).append((row["model"], row["correct"] == "1"))
        for row in _rows(file):
            label = row["task"]
            kind = FIELDS.get(label) or OTHERS.get(label)
            if kind is None:
                continue
            text = row["prompt"] if "prompt" in row else row["question"]
            answered = []
            for model, correct in sorted(outcomes.get(row["prompt_id"], ())):
                if model not in entries:
                    entries[model] = match(known, model)
                entry = entries[model]
                if entry is not None and entry.chat and (figure := rated[entry.key].quality.get(kind)):
                    answered.append((model, math.log(figure / (1.0 - figure)), correct))
            found = frozenset(terms(text))
            examples.append(Example(row["prompt_id"], label, found, text, tuple(answered)))
    return examples


def _rows(file: Path) -> Iterable[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as opened:
        yield from csv.DictReader(opened)


def train(examples: Sequence[Example]) -> TaskModel:
    """The weights that tell the class and the difficulty of such prompts."""
    labels = sorted({e.label for e in examples})
    slopes, difficulties = item_response(examples, labels)
    # A question is learnt from twice, with the options to choose among and without: people rarely give any.
    asked = [frozenset(terms(without_options(e.text))) for e in examples]
    rows, labelled = [e.terms for e in examples] + asked, [e.label for e in examples] * 2
    everyday = [frozenset(terms(text)) for text in EVERYDAY] * EVERYDAY_TIMES
    told = regress(
        rows + everyday,
        [[float(label == each) for each in (*labels, "")] for label in labelled + [""] * len(everyday)],
        link=softmax,
        strength=CLASS_STRENGTH,
        rounds=CLASS_ROUNDS,
        curvature=0.5,
        least=LEAST,
        rarity=weight_of_words,
    )
    hard = regress(
        rows,
        [[difficulty] for difficulty in difficulties * 2],
        link=identity,
        strength=DIFFICULTY_STRENGTH,
        rounds=DIFFICULTY_ROUNDS,
        least=LEAST,
        rarity=weight_of_shape,
    )
    classes = [
        TaskClass(label, FIELDS.get(label) or OTHERS[label], label if label in FIELDS else "", slope)
        for label, slope in zip(labels, slopes, strict=True)
    ]
    return TaskModel((*classes, TaskClass("", TaskKind.CHAT)), _beside(told, hard))


def without_options(text: str) -> str:
    """The question alone, without the options to choose among."""
    return text.partition("\nA. ")[0]


def weight_of_words(term: bytes, texts_for_each: float) -> float:
    """How freely a term may weigh for a class: by its rarity, and shape not at all, which tells examinations."""
    return 0.0 if b" " in term else math.log(1.0 + texts_for_each)


def weight_of_shape(term: bytes, texts_for_each: float) -> float:
    """How freely a term may weigh: by its rarity; a term of shape, which holds a space, as one every 50th text has."""
    return 4.0 if b" " in term else math.log(1.0 + texts_for_each)


def item_response(examples: Sequence[Example], labels: Sequence[str]) -> tuple[list[float], list[float]]:
    """The slope of every class, and the most probable difficulty of every prompt, given the catalogue's abilities.

    Slopes and difficulties are improved in turn by Newton's steps; a slope is held between 0.3 and 2.
    """
    slopes = [1.0] * len(labels)
    place = {label: i for i, label in enumerate(labels)}
    difficulties = [0.0] * len(examples)
    for _ in range(12):
        pulls, curves = [0.0] * len(labels), [4.0] * len(labels)
        for i, example in enumerate(examples):
            which = place[example.label]
            slope, difficulty = slopes[which], difficulties[i]
            pull, curve = -difficulty / SPREAD**2, 1.0 / SPREAD**2
            for _model, ability, correct in example.outcomes:
                p = sigmoid(slope * ability - difficulty)
                pull += p - correct
                curve += p * (1.0 - p)
                pulls[which] += ability * (correct - p)
                curves[which] += ability * ability * p * (1.0 - p)
            difficulties[i] = difficulty + pull / curve
        slopes = [min(2.0, max(0.3, s + 0.5 * p / c)) for s, p, c in zip(slopes, pulls, curves, strict=True)]
    return slopes, difficulties


def _beside(one: Linear, other: Linear) -> Linear:
    """Both in one table, of the terms of ``one``."""
    one_lanes, other_lanes = one.lanes, other.lanes
    absent = other_lanes.pack([0] * len(other.bias) + [1])
    both = Linear((*one.bias, *other.bias), {}, (*one.steps, *other.steps))
    table = {
        term: both.lanes.pack([*one_lanes.unpack(packed)[:-1], *other_lanes.unpack(other.table.get(term, absent))])
        for term, packed in one.table.items()
    }
    return Linear(both.bias, table, both.steps)


def provenance(folder: Path, examples: Sequence[Example]) -> dict[str, object]:
    """What the weights come from, for the file itself."""
    return {
        "trained on": "public evaluation outputs of MMLU-Pro (TIGER-AI-Lab) and ZeroEval (GSM8K, CRUXEval)",
        "licences": "Apache-2.0",
        "by": "python -m mai_core.bench.training",
        "prompts": len(examples),
        "outcomes": sum(len(e.outcomes) for e in examples),
        "models": len({model for e in examples for model, _, _ in e.outcomes}),
        "seed": SEED,
        "sha256": {f.name: sha256(f.read_bytes()).hexdigest()[:16] for f in sorted(folder.glob("*.csv.gz"))},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m mai_core.bench.training", description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, help="folder of *_prompts.csv.gz and *_outcomes.csv.gz")
    parser.add_argument("--out", type=Path, help="file to write; without it only the scores are printed")
    parser.add_argument("--no-scores", action="store_true", help="train only, print no held-out scores")
    options = parser.parse_args(arguments)
    from mai_core.settings import load_catalogue

    with tempfile.TemporaryDirectory() as nobody:  # the shipped catalogue, not the person's own
        known = load_catalogue(Paths.of({"MAI_HOME": nobody}))
    examples = read_tables(options.tables, known)
    if not examples:
        parser.error(f"no tables in {options.tables}")
    if not options.no_scores:
        from mai_core.bench.heldout import report

        for line in report(examples):
            print(line, flush=True)
    if options.out:
        text = train(examples).dump(provenance(options.tables, examples))
        options.out.write_text(text, encoding="ascii")
        print(f"{options.out}: {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
