"""What outcomes taught about prompts: which field a question is of, and how hard it is.

The weights come from a training on public outcomes (``mai_core.bench.training``) and travel as a small file that
``mai_core.settings`` reads. They are a value like any other: nothing here reads anything.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import mul

from mai_core.policy.kinds import TaskKind
from mai_core.policy.lanes import BITS
from mai_core.policy.regression import Linear, softmax

__all__ = ["SLOPE", "Judgement", "TaskClass", "TaskModel"]

# How far the odds of a good answer fall, in logits, from the easiest task (0) to the hardest (1).
SLOPE = 3.0
VERSION = 1
# Weights are kept as one signed byte a lane.
_MOST = 127


@dataclass(frozen=True, slots=True)
class TaskClass:
    """A class of prompts that outcomes are known of.

    discrimination  how much being an able model helps: the slope of an item response model, 1 for an average class
    """

    name: str
    kind: TaskKind
    field: str = ""
    discrimination: float = 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the weights say of a prompt.

    likely      the most likely class, and its ``confidence`` among the classes: high also for what is of none of them
    difficulty  in logits, 0 where a model does as well as the catalogue says at medium difficulty
    evidence    terms of the prompt that are known
    """

    likely: TaskClass
    confidence: float
    difficulty: float
    discrimination: float
    evidence: int


@dataclass(frozen=True, slots=True)
class TaskModel:
    """Classes and the weights of terms for each; the last target of ``weights`` is the difficulty."""

    classes: tuple[TaskClass, ...]
    weights: Linear

    def judge(self, terms: Collection[bytes]) -> Judgement:
        """The class and the difficulty of a prompt of these ``terms``: see ``mai_core.policy.terms``."""
        (*scores, difficulty), evidence = self.weights.counted(terms)
        shares = softmax(scores)
        confidence = max(shares)
        likely = self.classes[shares.index(confidence)]
        slope = sum(map(mul, shares, [each.discrimination for each in self.classes]))
        return Judgement(likely, confidence, difficulty, slope, evidence)

    def dump(self, provenance: Mapping[str, object]) -> str:
        """The file that ``load`` reads: JSON, the same bytes for the same weights.

        Weights are rounded to 127 steps each way, a lane with a step of its own.
        """
        rows = {term: self.weights.lanes.unpack(packed)[:-1] for term, packed in sorted(self.weights.table.items())}
        largest = [max(1, *(abs(row[lane]) for row in rows.values())) for lane in range(len(self.weights.bias))]
        raw = bytes(
            round(v * _MOST / most) % 256 for row in rows.values() for v, most in zip(row, largest, strict=True)
        )
        data = {
            "version": VERSION,
            "provenance": dict(provenance),
            "classes": [[c.name, c.kind.value, c.field, round(c.discrimination, 3)] for c in self.classes],
            "bias": [round(b, 4) for b in self.weights.bias],
            "steps": [
                float(f"{most * step / _MOST:.4g}") for most, step in zip(largest, self.weights.steps, strict=True)
            ],
            "terms": b"\n".join(rows).decode("utf-8", "surrogateescape"),
            "weights": base64.b64encode(raw).decode("ascii"),
        }
        return json.dumps(data, ensure_ascii=True, indent=0) + "\n"

    @classmethod
    def load(cls, text: str | bytes) -> TaskModel:
        """The model that ``dump`` wrote. Raises ``ValueError`` for anything else."""
        try:
            data = json.loads(text)
            if data["version"] != VERSION:
                raise ValueError(f"version {data['version']} of the weights is not read, only {VERSION}")
            classes = tuple(TaskClass(n, TaskKind(k), f, float(d)) for n, k, f, d in data["classes"])
            bias, steps = tuple(map(float, data["bias"])), tuple(map(float, data["steps"]))
            listed = data["terms"].encode("utf-8", "surrogateescape").split(b"\n")
            raw = base64.b64decode(data["weights"], validate=True)
        except (KeyError, TypeError, AttributeError, binascii.Error, UnicodeError) as error:
            raise ValueError(f"not a file of task weights: {error!r}") from error
        known = math.isfinite(sum(bias) + sum(steps)) and all(step > 0.0 for step in steps)
        if not known or not len(bias) == len(steps) == len(classes) + 1 or len(raw) != len(listed) * len(bias):
            raise ValueError("not a file of task weights: its parts do not fit each other")
        return cls(classes, _linear(bias, steps, listed, raw))


def _linear(bias: Sequence[float], steps: Sequence[float], terms: Sequence[bytes], raw: bytes) -> Linear:
    """Spread bytes over lanes, all terms at once: a lane keeps its byte below, and borrows for a negative one."""
    count = len(bias)
    size = BITS // 8
    lifted = bytes((b + 128) % 256 for b in range(256))
    spread = bytearray(len(terms) * (count + 1) * size)
    row = (count + 1) * size
    for lane in range(count):
        spread[lane * size :: row] = raw[lane::count].translate(lifted)
    spread[count * size :: row] = bytes([1]) * len(terms)
    held = sum(128 << BITS * lane for lane in range(count))
    table = {
        term: int.from_bytes(spread[at : at + row], "little") - held
        for term, at in zip(terms, range(0, len(spread), row), strict=True)
    }
    return Linear(tuple(bias), table, tuple(steps))
