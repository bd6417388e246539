"""How well prompts are told apart that the training has not seen: other prompts of known tasks, and unknown tasks."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mai_core.bench.training import FOLDS, OTHERS, SEED, Example, train
from mai_core.policy.features import classify
from mai_core.policy.kinds import FIELDS
from mai_core.policy.regression import sigmoid
from mai_core.policy.tasks import SLOPE, TaskModel

__all__ = ["Scores", "area_under_roc", "calibration_error", "report"]

BINS = 10
Pairs = list[tuple[float, bool]]


@dataclass
class Scores:
    """Counts over held-out prompts; ``told`` and ``blind`` pair a predicted probability with what happened."""

    prompts: int = 0
    fields: int = 0
    fields_right: int = 0
    kinds_right: int = 0
    kinds_by_cues: int = 0
    told: Pairs = field(default_factory=list)
    blind: Pairs = field(default_factory=list)

    def line(self, name: str) -> str:
        """One line of the report."""
        kinds, cues = self.kinds_right / self.prompts, self.kinds_by_cues / self.prompts
        known = f"field {self.fields_right / self.fields:.3f}  " if self.fields else ""
        parts = [
            f"{name}: {self.prompts} prompts  kind {kinds:.3f} (by cues alone {cues:.3f})  {known}P(correct):",
            *(
                f"{what} log-loss {log_loss(p):.4f} AUC {area_under_roc(p):.4f} ECE {calibration_error(p):.4f}"
                for what, p in (("from text", self.told), ("model and kind alone", self.blind))
            ),
        ]
        return "  ".join(parts)


def report(examples: Sequence[Example]) -> Iterator[str]:
    """Lines on held-out prompts (out of fold), then on every task with all of its prompts held out."""
    draw = random.Random(SEED)
    folds = [draw.randrange(FOLDS) for _ in examples]
    scores = Scores()
    for fold in range(FOLDS):
        seen = [e for e, f in zip(examples, folds, strict=True) if f != fold]
        held = [e for e, f in zip(examples, folds, strict=True) if f == fold]
        score(train(seen), seen, held, scores)
    yield scores.line(f"out of fold ({FOLDS} folds)")
    apart = Scores()
    for task in sorted({e.label for e in examples}):
        seen, held = [e for e in examples if e.label != task], [e for e in examples if e.label == task]
        model, alone = train(seen), Scores()
        for scores in (alone, apart):
            score(model, seen, held, scores)
        yield alone.line(f"  without {task}")
    yield apart.line("every task left out in turn")


def score(model: TaskModel, seen: Sequence[Example], held: Sequence[Example], into: Scores) -> None:
    """Judge the ``held`` prompts by a model of the ``seen`` ones."""
    blind = _mean_difficulty(seen)
    for example in held:
        found = classify(example.text, model=model)
        kind = FIELDS.get(example.label) or OTHERS[example.label]
        into.prompts += 1
        into.kinds_right += found.kind is kind
        into.kinds_by_cues += classify(example.text).kind is kind
        if example.label in FIELDS:
            into.fields += 1
            into.fields_right += found.field == example.label
        for _model, ability, correct in example.outcomes:
            logit = found.discrimination * ability - SLOPE * (found.difficulty - 0.5)
            into.told.append((sigmoid(logit), correct))
            into.blind.append((sigmoid(ability - blind), correct))


def _mean_difficulty(seen: Sequence[Example]) -> float:
    """The one difficulty, in logits, that explains the outcomes of the ``seen`` prompts as a whole."""
    abilities = Counter(ability for e in seen for _model, ability, _correct in e.outcomes)
    right = sum(correct for e in seen for _model, _ability, correct in e.outcomes)
    low, high = -6.0, 6.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        expected = sum(count * sigmoid(ability - middle) for ability, count in abilities.items())
        low, high = (middle, high) if expected > right else (low, middle)
    return low


def log_loss(pairs: Pairs) -> float:
    """Mean surprise in nats; a certainty that fails counts as one in ten thousand."""
    return -sum(math.log(max(1e-4, p if correct else 1.0 - p)) for p, correct in pairs) / len(pairs)


def area_under_roc(pairs: Pairs) -> float:
    """Probability that what happened was thought likelier than what did not; ties count half."""
    ordered = sorted(pairs, key=lambda pair: pair[0])
    ranks, at = 0.0, 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        ranks += (at + end + 1) / 2 * sum(correct for _, correct in ordered[at:end])
        at = end
    right = sum(correct for _, correct in ordered)
    wrong = len(ordered) - right
    return (ranks - right * (right + 1) / 2) / (right * wrong) if right and wrong else 0.5


def calibration_error(pairs: Pairs) -> float:
    """Expected calibration error over ten bins of equal width: how far predicted shares are from observed ones."""
    bins: list[Pairs] = [[] for _ in range(BINS)]
    for p, correct in pairs:
        bins[min(BINS - 1, int(p * BINS))].append((p, correct))
    off = (abs(sum(p for p, _ in held) - sum(correct for _, correct in held)) for held in bins)
    return sum(off) / len(pairs)
