"""What a replay found, as plain values: to be shown, compared, and kept as JSON, without a table or a terminal.

Whoever wants figures without the command line reads a table, chooses a pool and calls ``study.replay``:

    pool = choose(read_table(Path("mmlupro_outcomes.csv.gz")))
    found = replay(pool, {"cost-aware": {}}, PluginRegistry.discover().strategy, Terms())
    found.section().standing("cost-aware").over_hull
    Replayed.of_json(json.loads(json.dumps(found.to_json()))) == found
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, TypeVar

from mai_core.bench.replay.curves import Point
from mai_core.bench.replay.gains import Gain
from mai_core.bench.replay.intervals import Interval

__all__ = ["HELD_OUT", "OUT_OF_FOLD", "Gap", "Replayed", "Section", "Single", "Standing", "Trusted"]

OUT_OF_FOLD, HELD_OUT = "out-of-fold", "held-out-tasks"
T = TypeVar("T", "Standing", "Section")
_INTERVALS = ("aiq", "accuracy", "over_hull", "over_means")


@dataclass(frozen=True, slots=True)
class Single:
    """A model by itself: what an answer of it costs on average, and the share of right ones."""

    name: str
    cost: float
    accuracy: float
    on_hull: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One contestant's figures. Intervals are of 95 %, by resampling prompts, the same for all contestants.

    points      mean cost and accuracy at each of its ``settings``
    aiq         the area under its curve (``curves``); None of one that has but one setting
    accuracy    of its only setting; None where there are several
    over_hull   its AIQ less that of the hull of single models; of a single setting, its accuracy less that of the hull
                at the same cost. ``over_means`` is the same beside the per-task mean
    as_best     the cost at which it is right as often as the best single model, as a share of that model's; None when
                it never is
    reference   whether it is there to compare with and no strategy of anybody
    fault       why it could not be measured to the end; then there are no figures
    """

    name: str
    about: str = ""
    reference: bool = False
    fault: str = ""
    settings: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    aiq: Interval | None = None
    accuracy: Interval | None = None
    over_hull: Interval | None = None
    over_means: Interval | None = None
    as_best: float | None = None

    @property
    def top(self) -> Point | None:
        """Its most accurate setting, the cheapest of equals; None where there is a fault."""
        return max(self.points, key=lambda p: (p.accuracy, -p.cost), default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``of_json`` reads."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "settings": list(self.settings),
            "points": [point._asdict() for point in self.points],
            **{name: told._asdict() if (told := getattr(self, name)) else None for name in _INTERVALS},
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        told = {name: Interval(**data[name]) if data[name] else None for name in _INTERVALS}
        points = tuple(Point(**point) for point in data["points"])
        return cls(**{**data, **told, "settings": tuple(data["settings"]), "points": points})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How much of the gap between a weak and a strong model a score closes (``gains``).

    ``curve`` is the exact one at even shares of strong calls, for drawing.
    """

    score: str
    apgr: Interval
    cpt50: Interval
    cpt80: Interval
    curve: tuple[Gain, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``of_json`` reads."""
        told = {name: getattr(self, name)._asdict() for name in ("apgr", "cpt50", "cpt80")}
        return {"score": self.score, **told, "curve": [gain._asdict() for gain in self.curve]}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        told = {name: Interval(**data[name]) for name in ("apgr", "cpt50", "cpt80")}
        return cls(score=data["score"], **told, curve=tuple(Gain(**gain) for gain in data["curve"]))


@dataclass(frozen=True, slots=True)
class Trusted:
    """Of one split, how far what was learnt had proven itself on the others (``trust``): 0 not at all, 1 wholly."""

    split: str
    quality: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Figures that rest on one way of holding prompts out: ``OUT_OF_FOLD`` or ``HELD_OUT``."""

    name: str
    standings: tuple[Standing, ...]
    gaps: tuple[Gap, ...] = ()
    trusted: tuple[Trusted, ...] = ()

    def standing(self, name: str) -> Standing:
        """That of a contestant. Raises ``KeyError``."""
        return _named(self.standings, name)

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``of_json`` reads."""
        return {
            "name": self.name,
            "standings": [standing.to_json() for standing in self.standings],
            "gaps": [gap.to_json() for gap in self.gaps],
            "trusted": [asdict(trusted) for trusted in self.trusted],
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            name=data["name"],
            standings=tuple(map(Standing.of_json, data["standings"])),
            gaps=tuple(map(Gap.of_json, data["gaps"])),
            trusted=tuple(Trusted(**trusted) for trusted in data["trusted"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Everything a replay found.

    unit      what costs are counted in
    machine   what models had to fit, in words; empty where nothing limited them
    models    those that competed, the cheapest first; ``left_out`` the others, each with the reason
    weak, strong   the models between which ``Section.gaps`` lie
    """

    table: str
    unit: str
    prompts: int
    tasks: int
    folds: int
    seed: int
    rounds: int
    models: tuple[Single, ...]
    weak: str
    strong: str
    sections: tuple[Section, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    machine: str = ""

    def section(self, name: str = OUT_OF_FOLD) -> Section:
        """That of a name. Raises ``KeyError``."""
        return _named(self.sections, name)

    @property
    def faults(self) -> Sequence[str]:
        """What strategies did wrong, by name."""
        told = (f"{s.name}: {s.fault}" for section in self.sections for s in section.standings if s.fault)
        return list(dict.fromkeys(told))

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``of_json`` reads."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "models": [asdict(model) for model in self.models],
            "sections": [section.to_json() for section in self.sections],
            "left_out": [list(pair) for pair in self.left_out],
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave. Raises ``KeyError`` or ``TypeError`` for anything else."""
        changed = {
            "models": tuple(Single(**model) for model in data["models"]),
            "sections": tuple(map(Section.of_json, data["sections"])),
            "left_out": tuple((name, why) for name, why in data["left_out"]),
        }
        return cls(**{**data, **changed})


def _named(each: Sequence[T], name: str) -> T:
    for one in each:
        if one.name == name:
            return one
    raise KeyError(name)
