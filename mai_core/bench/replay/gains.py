"""How much of the gap between two models a score closes: PGR, APGR and CPT of RouteLLM (Ong et al. 2024, arXiv:2406.18665).

Prompts go to the strong model in the order of a score. The performance gap recovered at the share c of strong calls is

    PGR(c) = (accuracy(c) - accuracy of the weak) / (accuracy of the strong - accuracy of the weak)

APGR is the area under PGR over c in [0, 1], and CPT(x) the smallest c with PGR(c) >= x. The curve is exact: every prompt
is a step of it, and prompts of equal score are taken together, as if drawn in random order, so that no order of the rows
matters. A score that tells nothing has APGR 1/2; one that knows the answers more than 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

__all__ = ["Gain", "GapClosed", "closed_gap"]


class Gain(NamedTuple):
    """The share of strong calls, and the performance gap recovered by them."""

    share: float
    recovered: float


@dataclass(frozen=True, slots=True)
class GapClosed:
    """``apgr`` and the whole curve it is the area under; all None and empty where the models are equally good."""

    curve: tuple[Gain, ...]

    @property
    def apgr(self) -> float | None:
        """The area under the curve."""
        if not self.curve:
            return None
        return sum((b.share - a.share) * (a.recovered + b.recovered) / 2.0 for a, b in pairwise(self.curve))

    def share_for(self, recovered: float) -> float | None:
        """CPT: the smallest share of strong calls that recovers so much of the gap; None where it is never reached."""
        for a, b in pairwise(self.curve):
            if a.recovered >= recovered:
                return a.share
            if b.recovered >= recovered:
                return a.share + (b.share - a.share) * (recovered - a.recovered) / (b.recovered - a.recovered)
        return None


def closed_gap(scores: Sequence[float], weak: Sequence[float], strong: Sequence[float]) -> GapClosed:
    """The curve of sending prompts to the strong model, those with the highest score first.

    ``weak`` and ``strong`` say how right each model is on every prompt, from 0 to 1.
    """
    gap = sum(strong) - sum(weak)
    if abs(gap) < 1e-9:
        return GapClosed(())
    ordered = sorted(zip(scores, weak, strong, strict=True), key=lambda row: -row[0])
    curve, called, won = [Gain(0.0, 0.0)], 0, 0.0
    for _, equal in groupby(ordered, key=lambda row: row[0]):
        for _, of_weak, of_strong in equal:
            called += 1
            won += of_strong - of_weak
        curve.append(Gain(called / len(ordered), won / gap))
    return GapClosed(tuple(curve))
