"""Which laws strategies keep, as a part of a comparison. Who tries them is none of this package's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mai_core.bench.report.comparison import Cell, Finding, Part

__all__ = ["Tried", "lawful"]

KEY = "broken-laws"
LIMITS = (
    "A law that held in every generated world may be broken in another one: keeping all of them is no proof of being "
    "good, breaking one is a proof of a fault.",
)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of the laws for one strategy: how many it kept, what those it broke mean, why any was not judged."""

    kept: int
    broken: tuple[tuple[str, str], ...] = ()
    unjudged: tuple[tuple[str, str], ...] = ()

    @property
    def all(self) -> int:
        """Laws that were tried."""
        return self.kept + len(self.broken) + len(self.unjudged)


def lawful(found: Mapping[str, Tried], *, worlds: int) -> Part:
    """A part of strategies by name; ``worlds`` are those in which each law was tried at most."""
    return Part(
        figures={name: {KEY: Cell(float(len(tried.broken)))} for name, tried in found.items()},
        headline=(KEY,),
        findings=tuple(_findings(found)),
        facts=(("Laws", f"up to {max(t.all for t in found.values())} laws, each in {worlds:,} generated worlds"),),
        limits=LIMITS,
    )


def _findings(found: Mapping[str, Tried]) -> Sequence[Finding]:
    return [Finding(f"{_told(tried)}.", f"{name} and the laws") for name, tried in found.items()]


def _told(tried: Tried) -> str:
    if tried.kept == tried.all:
        return f"keeps all {tried.all}"
    parts = [f"keeps {tried.kept} of {tried.all}"]
    parts += [f"breaks {law} ({_lower(meaning)})" for law, meaning in tried.broken]
    parts += [f"{law} could not be judged ({why})" for law, why in tried.unjudged]
    return "; ".join(parts)


def _lower(meaning: str) -> str:
    meant = meaning.rstrip(".")
    return meant[:1].lower() + meant[1:]
