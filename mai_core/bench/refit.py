"""What learning from a person's own outcomes is worth, on tables of which model answered what.

    python -m mai_core.bench.refit TABLE [TABLE ...]

A table is a file of outcomes, or a folder of them, as ``mai bench replay`` takes it. People are drawn, each with models
of about one size to choose among and prompts of two tasks of the table. Turn by turn the model of the highest expected
quality answers, and only of that one is the outcome heard. The same prompts are gone through with and without learning
from it, and then as many new ones, without hearing of any. Beside the outcomes of the table stand three worlds made
from it: in ``unrated`` nothing is known of models but their size; in ``as expected`` answers are good as often as is
expected, so that there is nothing to learn; in ``strict`` they are good less often, for all models alike.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mai_core.bench.replay.intervals import Interval, intervals
from mai_core.bench.replay.tables import Table, find_tables, read_table
from mai_core.paths import Paths
from mai_core.policy.catalogue import match
from mai_core.policy.families import family_quality
from mai_core.policy.features import TaskFeatures, classify
from mai_core.policy.models import KnownModel, ModelProfile
from mai_core.policy.outcomes import Abilities, Outcome, Sign, refit
from mai_core.policy.quality import ability, answers_well

__all__ = ["Measured", "Person", "World", "main", "measure", "people", "worlds"]

COUNTS = (30, 100, 300)
PEOPLE = 200
MODELS, TASKS = 4, 2
COVERED = 0.9
EVERY = 5
"""Outcomes after which abilities are fitted anew: in life it is every one, which takes longer and differs by little."""

STRICT = -1.0
"""How much harder a strict person is to please, in logits."""


@dataclass(frozen=True, slots=True)
class World:
    """What is known of models and prompts, and how answers turn out: by model and place of the prompt.

    ``able`` are the abilities known beforehand.
    """

    name: str
    parameters: Mapping[str, float]
    features: Sequence[TaskFeatures]
    tasks: Sequence[str]
    able: Mapping[str, Sequence[float]]
    turns_out: Callable[[str, int], float]

    def quality(self, model: str, place: int, abilities: Abilities | None = None) -> float:
        """The probability of a good answer, in the light of what was learnt or without it."""
        features = self.features[place]
        shift = abilities.of(model, features.kind).value if abilities is not None else 0.0
        return answers_well(self.able[model][place] + shift, features)


@dataclass(frozen=True, slots=True)
class Person:
    """The models somebody can run, what they ask while Mai learns, and what they ask then."""

    models: tuple[str, ...]
    asked: tuple[int, ...]
    later: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Shares of good answers, and the gain by learning, over people: during so many turns and in as many later ones.

    ``best`` is what each person's best model for each kind of task would have reached in the later ones.
    """

    world: str
    outcomes: int
    without: Interval
    gain: Interval
    later_without: Interval
    later_gain: Interval
    best: Interval

    def line(self) -> str:
        """One line of the report."""
        return (
            f"{self.world:<24} {self.outcomes:>5}   {100 * self.without.value:5.1f} {_points(self.gain)}"
            f"   {100 * self.later_without.value:5.1f} {_points(self.later_gain)}   {100 * self.best.value:5.1f}"
        )


def worlds(table: Table, known: Sequence[KnownModel], judged: Callable[[str], TaskFeatures]) -> Iterator[World]:
    """The table's own world, and those made from it, of models that converse.

    Those that answered fewer than ``COVERED`` of the prompts are left out, and then prompts that not all answered.
    """
    models = [
        model
        for model in table.models
        if model.kind != "base" and model.parameters and len(table.answers[model.name]) > COVERED * len(table.prompts)
    ]
    prompts = [p for p in table.prompts if all(p.prompt_id in table.answers[model.name] for model in models)]
    rated = {entry.key: entry for entry in known}
    bare = {m.name: ModelProfile(key=m.name, backend="table", location=m.name, parameters=m.parameters) for m in models}
    profiles = {}
    for name, profile in bare.items():
        entry = match(known, name)
        quality = rated[entry.key].quality if entry is not None else family_quality(known, name, profile.parameters)
        profiles[name] = replace(profile, quality=quality)
    features, tasks = [judged(prompt.text) for prompt in prompts], [prompt.task for prompt in prompts]
    real = World(
        table.name,
        {model.name: model.parameters for model in models},
        features,
        tasks,
        {name: [ability(profile, each) for each in features] for name, profile in profiles.items()},
        lambda model, place: table.answers[model][prompts[place].prompt_id].correct,
    )
    yield real
    sized = {name: [ability(profile, each) for each in features] for name, profile in bare.items()}
    yield replace(real, name=f"{table.name}, unrated", able=sized)
    draw = random.Random(f"{table.name} made up")
    luck = {model: [draw.random() for _ in prompts] for model in profiles}
    for name, shift in (("as expected", 0.0), ("strict", STRICT)):

        def turns_out(model: str, place: int, shift: float = shift) -> float:
            good = answers_well(real.able[model][place] + shift, features[place])
            return float(luck[model][place] < good)

        yield replace(real, name=f"{table.name}, {name}", turns_out=turns_out)


def people(world: World, outcomes: int, count: int, seed: int = 1) -> Iterator[Person]:
    """So many people, the same for the same seed; prompts recur where a task has too few of them."""
    draw = random.Random(f"{world.name.partition(',')[0]} {outcomes} {seed}")
    sizes = sorted(world.parameters, key=lambda name: (world.parameters[name], name))
    by_task: dict[str, list[int]] = {}
    for place, task in enumerate(world.tasks):
        by_task.setdefault(task, []).append(place)
    for _ in range(count):
        middle = math.log(world.parameters[draw.choice(sizes)])
        near = sorted(sizes, key=lambda name: abs(math.log(world.parameters[name]) - middle))
        tasks = draw.sample(sorted(by_task), min(TASKS, len(by_task)))
        halves: tuple[list[int], list[int]] = ([], [])
        for task in tasks:
            places = draw.sample(by_task[task], len(by_task[task]))
            halves[0].extend(places[::2])
            halves[1].extend(places[1::2])
        asked, later = (tuple(draw.choices(half, k=outcomes)) for half in halves)
        yield Person(tuple(near[:MODELS]), asked, later)


def measure(world: World, outcomes: int, count: int = PEOPLE) -> Measured:
    """Go through what people ask with and without learning from it."""
    rows = []
    for person in people(world, outcomes, count):
        taught, gained = _learning(world, person)
        rows.append(
            (
                gained,
                _achieved(world, person.models, person.asked, Abilities()),
                _achieved(world, person.models, person.later, taught),
                _achieved(world, person.models, person.later, Abilities()),
                _best(world, person),
            )
        )
    found = intervals(list(zip(*rows, strict=True)), lambda m: (m[1], m[0] - m[1], m[3], m[2] - m[3], m[4]))
    return Measured(world.name, outcomes, *found)


def _chosen(world: World, models: Sequence[str], place: int, abilities: Abilities) -> str:
    return max(models, key=lambda model: world.quality(model, place, abilities))


def _learning(world: World, person: Person) -> tuple[Abilities, float]:
    """What is learnt from what a person asks, and the share of good answers meanwhile."""
    seen: list[Outcome] = []
    abilities = Abilities()
    for place in person.asked:
        model, features = _chosen(world, person.models, place, abilities), world.features[place]
        seen.append(
            Outcome(
                model=model,
                kind=features.kind,
                expected=world.quality(model, place),
                value=world.turns_out(model, place),
                sign=Sign.RATED,
                discrimination=features.discrimination,
                difficulty=features.difficulty,
            )
        )
        if len(seen) % EVERY == 0 or len(seen) < EVERY:
            abilities = refit(seen, now=0.0, start=abilities)
    return abilities, sum(one.value for one in seen) / len(seen)


def _achieved(world: World, models: Sequence[str], places: Sequence[int], abilities: Abilities) -> float:
    return sum(world.turns_out(_chosen(world, models, p, abilities), p) for p in places) / len(places)


def _best(world: World, person: Person) -> float:
    by_kind: dict[str, list[int]] = {}
    for place in person.later:
        by_kind.setdefault(world.features[place].kind, []).append(place)
    best = (max(sum(world.turns_out(m, p) for p in places) for m in person.models) for places in by_kind.values())
    return sum(best) / len(person.later)


def _points(gain: Interval) -> str:
    low, high = 100 * gain.low, 100 * gain.high
    return f"{100 * gain.value:+5.1f} [{low:+.1f}, {high:+.1f}]".ljust(20)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m mai_core.bench.refit", description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="files of outcomes, or folders of them")
    parser.add_argument("--people", type=int, default=PEOPLE, help=f"how many are drawn ({PEOPLE})")
    options = parser.parse_args(arguments)
    from mai_core.settings import load_catalogue, load_task_model

    with tempfile.TemporaryDirectory() as nobody:  # the shipped catalogue, not the person's own
        known = load_catalogue(Paths.of({"MAI_HOME": nobody}))
    weights = load_task_model()
    print(f"good answers in 100, with 95 % intervals of the gain by learning; {options.people} people")
    print(f"{'world':<24} {'heard':>5}   {'while learning':<26}   {'afterwards':<26}   {'best':>5}")
    for path in options.tables:
        for file in find_tables(path):
            for world in worlds(read_table(file), known, lambda text: classify(text, model=weights)):
                for outcomes in COUNTS:
                    print(measure(world, outcomes, options.people).line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
