"""What strategies are asked in a situation, put together from what was found before of the same room and models.

A model's fit depends on the room there is and, while it is in memory, on its state; a candidate on its fit and on what
is asked. Both are the core's own (``fit_of`` and ``candidate_of``), remembered by exactly what they depend on, and
shared by all contestants in one world that live under the same limits.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mai_core.bench.simulator.grid import history_of
from mai_core.bench.simulator.inventory import BACKEND
from mai_core.bench.simulator.memory import Shown
from mai_core.bench.simulator.truth import Truth
from mai_core.bench.simulator.workloads import Asked
from mai_core.policy.feasibility import Fit, Limits, Situation, candidate_of, fit_of, wanted_context
from mai_core.policy.features import TaskFeatures
from mai_core.policy.learning import Corrections, Learned, Observation, learn
from mai_core.policy.models import Footprint, LoadPlan
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.selection import Candidate, Rejection, SelectionRequest
from mai_core.policy.speed import Machine, MeasuredSpeed

__all__ = ["Asking", "Knowledge", "View"]

MIB = 2**20
ANYTHING = Asked(TaskFeatures().kind, TaskFeatures().difficulty, TaskFeatures().reply_tokens)

Known = tuple[tuple[int, int | None], ...]
"""Models that have answered here, by place, with the layers they had on a GPU then."""


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What runs have taught of a machine: speeds by key, corrections of footprints, and what it can do.

    ``taught`` numbers the corrections of each model, by place.
    """

    speeds: Mapping[str, MeasuredSpeed]
    learned: Learned
    machines: Mapping[str, Machine]
    corrections: tuple[Corrections, ...]
    taught: tuple[int, ...]


class View(NamedTuple):
    """Everything a decision depends on, on the grid. ``read`` are models with the tokens they have read."""

    shown: Shown
    asked: int
    prompt: int
    new: int
    current: int
    read: tuple[tuple[str, int], ...]
    calm: float
    lately: tuple[int, bool]
    known: Knowledge


@dataclass(slots=True, eq=False)
class Asking:
    """What is remembered of one world under one set of limits. ``keys`` and ``places`` tell models by number."""

    truth: Truth
    asked: Sequence[Asked]
    limits: Limits
    keys: tuple[str, ...] = ()
    places: dict[str, int] = field(default_factory=dict)
    _fits: dict[Hashable, tuple[int, Fit | None]] = field(default_factory=dict)
    _candidates: dict[Hashable, Candidate] = field(default_factory=dict)
    _knowledge: dict[Known, Knowledge] = field(default_factory=dict)
    _windows: dict[Hashable, int] = field(default_factory=dict)
    _taught_numbers: dict[Corrections, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.asked = (*self.asked, ANYTHING)
        self.keys = tuple(model.key for model in self.truth.models)
        self.places = {key: place for place, key in enumerate(self.keys)}

    @property
    def anything(self) -> int:
        """The place among what may be asked of a turn nobody knows anything of."""
        return len(self.asked) - 1

    def situation(self, view: View) -> Situation:
        """What ``view`` means, in the terms of the core."""
        models, known = self.truth.models, view.known
        return Situation(
            models=models,
            snapshot=ResourceSnapshot((view.shown.host,), calm_seconds=view.calm),
            features=self.features(view),
            limits=self.limits,
            loaded=view.shown.loaded,
            promised=view.shown.promised,
            current=models[view.current].key if view.current >= 0 else None,
            speeds=known.speeds,
            learned=known.learned,
            machines=known.machines,
            history=history_of(*view.lately),
            read=dict(view.read),
        )

    def features(self, view: View) -> TaskFeatures:
        """What the turn asks for."""
        asked = self.asked[view.asked]
        return TaskFeatures(
            kind=asked.kind,
            difficulty=asked.difficulty,
            prompt_tokens=view.prompt,
            new_tokens=view.new,
            reply_tokens=asked.reply,
        )

    def request(self, view: View) -> SelectionRequest:
        """What strategies are asked, but for the last resort, of which ``decide`` itself knows.

        A model that is not in memory takes it from the room there is when what idles is gone; who idles is no matter.
        """
        situation = self.situation(view)
        shown, known, prompt, current = view.shown, view.known, view.prompt, view.current
        read, new, asked = situation.read, view.new, view.asked
        cores, candidates, taught, limits = shown.host.cpu.free_cores, self._candidates, known.taught, self.limits
        fits, models, inside, promised, room = self._fits, self.truth.models, shown.inside, shown.promised, shown.room
        needed = prompt + limits.reserve
        long, window = needed > limits.window, limits.window
        calm = (view.calm <= 0.0, view.calm >= limits.up_after_seconds, view.lately[1])
        found: list[Candidate] = []
        for place, key in enumerate(self.keys):
            if long:
                window = self._window(place, view, situation)
            instance = inside.get(place)
            mark: Hashable
            if instance is not None:
                enough = instance.plan.context >= min(window, needed)
                mark = (place, window, taught[place], shown.state, calm, enough)
            elif promised:
                mark = (place, window, taught[place], shown.state, prompt)
            else:
                mark = (place, window, taught[place], room)
            number, fit = fits.get(mark) or self._fitted(mark, place, view, situation)
            if fit is None:
                continue
            tokens = new
            if not (place == current and fit.resident) and (whole := prompt - read.get(key, 0)) > tokens:
                tokens = whole
            wanted = (number, asked, tokens, cores, known)
            candidate = candidates.get(wanted)
            if candidate is None:
                candidate = candidates[wanted] = candidate_of(models[place], fit, situation)
            found.append(candidate)
        return SelectionRequest(
            features=situation.features,
            candidates=tuple(found),
            current=situation.current,
            calm_seconds=view.calm,
        )

    def predicted(self, candidate: Candidate, known: Knowledge) -> Footprint:
        """What the formulas say the candidate takes, without what was learnt on the machine."""
        corrections = known.corrections[self.places[candidate.key]]
        found = candidate.footprint
        return Footprint(
            int(found.anonymous / corrections.private.factor),
            int(found.file_backed / corrections.mapped.factor),
            {name: int(size / corrections.device.factor) for name, size in found.devices.items()},
        )

    def known(self, known: Known) -> Knowledge:
        """What runs of those models, with so many layers on a GPU, have taught."""
        found = self._knowledge.get(known)
        if found is None:
            found = self._knowledge[known] = self._taught(known)
        return found

    def _fitted(self, mark: Hashable, place: int, view: View, situation: Situation) -> tuple[int, Fit | None]:
        """How a model fits, found anew and numbered; None where it does not."""
        if place not in view.shown.inside:
            there = replace(situation.snapshot, hosts=(view.shown.empty,))
            situation = replace(situation, snapshot=there, loaded=())
        outcome = fit_of(self.truth.models[place], situation)
        found = self._fits[mark] = (len(self._fits), None if isinstance(outcome, Rejection) else outcome)
        return found

    def _window(self, place: int, view: View, situation: Situation) -> int:
        """Tokens of context wanted of a model, which depend on the prompt and how fast it would be read."""
        key = (place, view.prompt, view.shown.host.cpu.free_cores, view.known)
        found = self._windows.get(key)
        if found is None:
            found = self._windows[key] = wanted_context(self.truth.models[place], situation)
        return found

    def _taught(self, known: Known) -> Knowledge:
        truth, speeds, seen = self.truth, {}, []
        for place, layers in known:
            model = truth.models[place]
            speed = truth.speed(place, LoadPlan(context=self.limits.window, gpu_layers=layers), truth.machine.cores)
            speeds[model.key] = MeasuredSpeed(speed.prompt_tps, speed.generation_tps, speed.load_seconds)
            told = Footprint(1000 * MIB, 1000 * MIB, {"gpu0": 1000 * MIB} if layers else {})
            shape = model.architecture.name if model.architecture else ""
            taken = truth.footprint(place, told)
            seen.append(Observation("local", BACKEND, shape, BACKEND, model.location, told, taken))
        learned = learn(seen)
        ran = [(m, speeds[m.key]) for m in truth.models if m.key in speeds and not truth.machine.gpus]
        machines = {"local": Machine.learned(ran, truth.machine.cores)}
        corrections = tuple(learned.of(m, BACKEND) for m in truth.models)
        taught = tuple(self._taught_numbers.setdefault(c, len(self._taught_numbers)) for c in corrections)
        return Knowledge(speeds, learned, machines, corrections, taught)
