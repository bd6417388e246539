"""Tables of outcomes: which model answered which prompt correctly, and at what cost.

CSV files, plain or ``.gz``, in UTF-8; further columns are left alone.

======== ================================================================================================
outcomes ``prompt_id``, ``model``, ``correct`` (0 to 1), and ``cost`` or ``output_tokens`` (or
         ``output_tokens_cl100k``); a model answers a prompt at most once
prompts  ``prompt_id``, ``text`` (or ``prompt``, ``question``), and, where tasks are known, ``task``; without this
         file these columns may be among the outcomes, and what they do not tell is not known
models   ``model``, ``params_b`` and ``active_b`` (billions; the active ones are all where that is left out), and, where
         it is known, ``kind``: ``base`` for models that do not converse; not needed where answers have a ``cost``
======== ================================================================================================

An answer costs what the column ``cost`` says, in any unit, or else active parameters x output tokens: proportional to
the arithmetic of decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mai_core.bench.replay.cells import TableError, header, rows

__all__ = ["Answer", "Prompt", "RatedModel", "Table", "find_tables", "read_table"]

OUTCOMES, PROMPTS, MODELS = "outcomes", "prompts", "models"
TEXTS = ("text", "prompt", "question")
TOKENS = ("output_tokens", "output_tokens_cl100k")
BILLION = 1e9


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the models were asked; ``task`` and ``text`` are empty where nobody says."""

    prompt_id: str
    task: str
    text: str


@dataclass(frozen=True, slots=True)
class RatedModel:
    """A model of the table; ``parameters`` and those ``active`` for a token, both 0 where unknown."""

    name: str
    parameters: float = 0.0
    active: float = 0.0
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """``correct`` from 0 to 1; ``cost`` in the table's unit; ``tokens`` 0 where they were not counted."""

    correct: float
    cost: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Table:
    """Prompts, models, and answers by model and prompt. ``priced`` where costs come from a column of their own.

    ``unsized`` are models whose answers cannot be priced, since nothing tells their parameters: they are left out.
    """

    name: str
    prompts: tuple[Prompt, ...]
    models: tuple[RatedModel, ...]
    answers: Mapping[str, Mapping[str, Answer]]
    priced: bool = False
    unsized: tuple[str, ...] = field(default=())


def find_tables(path: Path) -> list[Path]:
    """The files of outcomes that ``path`` names: itself, or those in the folder. Raises ``TableError`` for none."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if _is_outcomes(file))
    if not found:
        raise TableError(f"{path}: no file *{OUTCOMES}.csv or *{OUTCOMES}.csv.gz in this folder")
    return found


def read_table(outcomes: Path, prompts: Path | None = None, models: Path | None = None) -> Table:
    """Read a file of outcomes, with its prompts and models: those given, or the files beside it named alike.

    ``zeroeval_outcomes.csv.gz`` goes with ``zeroeval_prompts.csv.gz`` and ``zeroeval_models.csv`` or ``models.csv``.
    Raises ``TableError``.
    """
    columns = header(outcomes)
    questions = prompts or _beside(outcomes, PROMPTS)
    asked = _prompts(questions) if questions.exists() or prompts else None
    found = asked if asked is not None else {}
    text = next((name for name in TEXTS if name in columns), "")
    sizes = models or _beside(outcomes, MODELS)
    rated = _models(sizes) if sizes.exists() or models else {}
    tokens = next((name for name in TOKENS if name in columns), None)
    priced = "cost" in columns
    if not priced and tokens is None:
        raise TableError(f"{outcomes.name}: no column cost and none of {', '.join(TOKENS)}; no accuracy without cost")
    if not priced and not rated:
        raise TableError(f"{outcomes.name}: without a column cost, {sizes.name} has to tell the models' parameters")
    answers: dict[str, dict[str, Answer]] = {}
    unsized: dict[str, None] = {}
    for row in rows(outcomes, ["prompt_id", "model", "correct"]):
        prompt_id, name = row.text("prompt_id"), row.text("model")
        if asked is None:
            told = Prompt(prompt_id, row.cells.get("task", "").strip(), row.cells.get(text, ""))
            if found.setdefault(prompt_id, told) != told:
                raise row.fault("prompt_id", f"{prompt_id!r} had another text or task before")
        elif prompt_id not in asked:
            raise row.fault("prompt_id", f"{prompt_id!r} is not among the prompts of {questions.name}")
        of_model = answers.setdefault(name, {})
        if prompt_id in of_model:
            raise row.fault("model", f"{name} answers {prompt_id!r} a second time")
        correct = row.number_in("correct", 0.0, 1.0)
        written = row.number_in(tokens) if tokens else 0.0
        model = rated.get(name)
        if not priced and (model is None or not model.active):
            unsized[name] = None
        active = model.active / BILLION if model else 0.0
        of_model[prompt_id] = Answer(correct, row.number_in("cost") if priced else active * written, written)
    priceable = tuple(rated.get(name, RatedModel(name)) for name in sorted(answers) if name not in unsized)
    if not priceable:
        raise TableError(f"{outcomes.name}: no model whose answers can be priced")
    name = outcomes.name.partition(".csv")[0].removesuffix(OUTCOMES).rstrip("_-.") or outcomes.parent.name
    return Table(name, tuple(found.values()), priceable, answers, priced, tuple(sorted(unsized)))


def _is_outcomes(file: Path) -> bool:
    return file.name.removesuffix(".gz").removesuffix(".csv").endswith(OUTCOMES) and ".csv" in file.suffixes


def _beside(outcomes: Path, what: str) -> Path:
    """The file of ``what`` that goes with a file of outcomes; where there is none, the name it would have."""
    stem = outcomes.name.partition(".csv")[0]
    if not stem.endswith(OUTCOMES):
        return outcomes.with_name(f"{what}.csv")
    own = stem.removesuffix(OUTCOMES) + what
    return next(_existing(outcomes.parent, (own, what)), outcomes.with_name(f"{own}.csv"))


def _existing(folder: Path, stems: Sequence[str]) -> Iterator[Path]:
    places = (folder / f"{stem}.csv{packed}" for stem in stems for packed in ("", ".gz"))
    return (place for place in places if place.exists())


def _prompts(file: Path) -> dict[str, Prompt]:
    columns = header(file)
    text = next((name for name in TEXTS if name in columns), None)
    if text is None:
        raise TableError(f"{file.name}: none of the columns {', '.join(TEXTS)}")
    found: dict[str, Prompt] = {}
    for row in rows(file, ["prompt_id", text]):
        prompt_id = row.text("prompt_id")
        if prompt_id in found:
            raise row.fault("prompt_id", f"{prompt_id!r} occurs a second time")
        found[prompt_id] = Prompt(prompt_id, row.cells.get("task", "").strip(), row.text(text))
    return found


def _models(file: Path) -> dict[str, RatedModel]:
    partly = "active_b" in header(file)
    found: dict[str, RatedModel] = {}
    for row in rows(file, ["model", "params_b"]):
        name = row.text("model")
        if name in found:
            raise row.fault("model", f"{name} occurs a second time")
        parameters = row.number_in("params_b") * BILLION
        active = row.number_in("active_b") * BILLION if partly else parameters
        found[name] = RatedModel(name, parameters, active, row.cells.get("kind", "").strip())
    return found
