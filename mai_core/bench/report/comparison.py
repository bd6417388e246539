"""A comparison of strategies as one frozen value, put together from parts that each stem from one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from mai_core.bench.report.figures import Figure
from mai_core.bench.report.metrics import METRICS, metric_of

__all__ = ["Cell", "Comparison", "Contestant", "Finding", "Origin", "Part", "Row", "Section", "Table"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure in the unit of its metric; with the bounds of its 95 % interval where they are known."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who competes, and its idea in a line."""

    name: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table. ``reference`` is there to compare with and competes with nobody."""

    name: str
    cells: tuple[Cell | None, ...]
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows over ``columns``, which are keys of metrics."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a report under a heading of its own; ``details`` come after everything else."""

    title: str
    text: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    details: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, in a sentence; ``lead`` are its first words where they say whom or what it is about."""

    text: str
    lead: str = ""

    @property
    def told(self) -> str:
        """All of it as plain text."""
        return f"{self.lead}: {self.text}" if self.lead else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one source says of the contestants.

    figures    by contestant and by key of a metric
    paired     the first contestant less another, with an interval, by that other and by key
    headline   keys of those figures that belong into the one table of all
    facts      what was compared on, as pairs of a name and a text
    limits     what this source does not know
    """

    figures: Mapping[str, Mapping[str, Cell]]
    paired: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    headline: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    sections: tuple[Section, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a comparison comes from: the command that makes it again, Mai's version, the seed, and a fingerprint."""

    command: str
    version: str
    seed: int
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contestants, the first of whom the others are held against, and what the parts say of them."""

    contestants: tuple[Contestant, ...]
    origin: Origin
    parts: tuple[Part, ...]

    @property
    def first(self) -> str:
        """Whom the others are held against."""
        return self.contestants[0].name

    @property
    def headline(self) -> Table:
        """One table of what matters most in every part, intervals left to the sections."""
        keys = tuple(chain.from_iterable(part.headline for part in self.parts))
        rows = (Row(one.name, tuple(self._bare(one.name, key) for key in keys)) for one in self.contestants)
        return Table(keys, tuple(rows))

    @property
    def findings(self) -> Sequence[Finding]:
        """Those of all parts."""
        return [finding for part in self.parts for finding in part.findings]

    @property
    def sections(self) -> Sequence[Section]:
        """Those of all parts, details last."""
        return sorted((section for part in self.parts for section in part.sections), key=lambda one: one.details)

    @property
    def figures(self) -> Sequence[Figure]:
        """Everything to be drawn, in the order of the sections."""
        return [figure for section in self.sections for figure in section.figures]

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        """Those of all parts."""
        return [fact for part in self.parts for fact in part.facts]

    @property
    def limits(self) -> Sequence[str]:
        """Those of all parts, each once."""
        return list(dict.fromkeys(limit for part in self.parts for limit in part.limits))

    @property
    def keys(self) -> Sequence[str]:
        """Keys of all metrics there are figures of, in the order of ``METRICS``."""
        found = dict.fromkeys(key for part in self.parts for told in part.figures.values() for key in told)
        places = {key: place for place, key in enumerate(METRICS)}
        return sorted(found, key=lambda key: places[metric_of(key).key])

    def cell(self, name: str, key: str) -> Cell | None:
        """A contestant's figure; None where nobody measured it."""
        return next((part.figures[name][key] for part in self.parts if key in part.figures.get(name, ())), None)

    def _bare(self, name: str, key: str) -> Cell | None:
        found = self.cell(name, key)
        return found and Cell(found.value)

    def beside(self, other: str, key: str) -> Cell | None:
        """What the first is above another, in the same worlds; None where nobody measured it."""
        return next((part.paired[other][key] for part in self.parts if key in part.paired.get(other, ())), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values: every figure of everybody, differences to the others, findings, and where it comes from."""
        others = [one.name for one in self.contestants[1:]]
        return {
            "first": self.first,
            "contestants": {
                one.name: {
                    "about": one.about,
                    "figures": {key: cell.to_json() for key in self.keys if (cell := self.cell(one.name, key))},
                }
                for one in self.contestants
            },
            "first_less": {
                name: {key: cell.to_json() for key in self.keys if (cell := self.beside(name, key))} for name in others
            },
            "findings": [finding.told for finding in self.findings],
            "facts": dict(self.facts),
            "limits": list(self.limits),
            "command": self.origin.command,
            "version": self.origin.version,
            "seed": self.origin.seed,
            "fingerprint": self.origin.fingerprint,
        }
