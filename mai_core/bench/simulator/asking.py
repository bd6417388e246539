"""What strategies are asked in a situation, put together from what was found before of the same room and models.

A model's fit depends on the room there is and, while it is in memory, on its state; a candidate on its fit and on what
is asked. Both are the core's own (``fit_of`` and ``candidate_of``), remembered by exactly what they depend on, and
shared by all contestants in one world that live under the same limits.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mai_core.bench.simulator.grid import history_of, spare_on_grid
from mai_core.bench.simulator.inventory import BACKEND
from mai_core.bench.simulator.memory import Shown
from mai_core.bench.simulator.truth import Truth
from mai_core.bench.simulator.workloads import Asked
from mai_core.policy.budget import Budget
from mai_core.policy.feasibility import Fit, Limits, Situation, candidate_of, fit_of, wanted_context
from mai_core.policy.features import TaskFeatures
from mai_core.policy.learning import Corrections, Learned, Observation, learn
from mai_core.policy.models import Footprint, LoadPlan
from mai_core.policy.outcomes import Abilities
from mai_core.policy.resources import ResourceSnapshot
from mai_core.policy.selection import Candidate, Rejection, SelectionRequest
from mai_core.policy.speed import Machine, MeasuredSpeed

__all__ = ["Asking", "Knowledge", "LineUp", "View"]

MIB = 2**20
UNBOUND, UNTAUGHT = Budget(), Abilities()
ANYTHING = Asked(TaskFeatures().kind, TaskFeatures().difficulty, TaskFeatures().reply_tokens)

Known = tuple[tuple[int, int | None], ...]
"""Models that have answered here, by place, with the layers they had on a GPU then."""

Fitted = tuple[int, str, int, Fit]
"""A model by place and key, and how it would run: fits that are equal have one number."""


class LineUp(NamedTuple):
    """The models that can run; equal line-ups have one number."""

    number: int
    fitted: Sequence[Fitted]


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What runs have taught of a machine: speeds by key, corrections of footprints, and what it can do.

    ``taught`` numbers the corrections of each model, by place, and ``told`` what its speed follows from: below 0 where
    that is not all measured and follows from the free cores, too.
    """

    speeds: Mapping[str, MeasuredSpeed]
    learned: Learned
    machines: Mapping[str, Machine]
    corrections: tuple[Corrections, ...]
    taught: tuple[int, ...]
    told: tuple[int, ...]


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
    _requests: dict[Hashable, SelectionRequest] = field(default_factory=dict)
    _line_ups: dict[Hashable, LineUp] = field(default_factory=dict)
    _equal_line_ups: dict[tuple[int, ...], LineUp] = field(default_factory=dict)
    _fits: dict[Hashable, Fitted | None] = field(default_factory=dict)
    _equal_fits: dict[Hashable, Fitted] = field(default_factory=dict)
    _features: dict[tuple[int, int, int], TaskFeatures] = field(default_factory=dict)
    _equal_requests: dict[Hashable, SelectionRequest] = field(default_factory=dict)
    _candidates: dict[Hashable, tuple[int, Candidate]] = field(default_factory=dict)
    _knowledge: dict[Known, Knowledge] = field(default_factory=dict)
    _windows: dict[Hashable, int] = field(default_factory=dict)
    _numbers: dict[Hashable, int] = field(default_factory=dict)

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
            budget=UNBOUND,
            abilities=UNTAUGHT,
        )

    def features(self, view: View) -> TaskFeatures:
        """What the turn asks for."""
        mark = (view.asked, view.prompt, view.new)
        found = self._features.get(mark)
        if found is None:
            asked = self.asked[view.asked]
            found = self._features[mark] = TaskFeatures(
                kind=asked.kind,
                difficulty=asked.difficulty,
                prompt_tokens=view.prompt,
                new_tokens=view.new,
                reply_tokens=asked.reply,
            )
        return found

    def request(self, view: View) -> SelectionRequest:
        """What strategies are asked, but for the last resort, of which ``decide`` itself knows; equal ones are one."""
        _, asked, prompt, new, current, read, calm, _, known = view
        line_up, cores = self.line_up(view), view.shown.host.cpu.free_cores
        together = (line_up.number, cores, asked, prompt, new, current, read, calm, known)
        found = self._requests.get(together)
        if found is None:
            found = self._requests[together] = self._request(view, line_up, cores)
        return found

    def _request(self, view: View, line_up: LineUp, cores: int) -> SelectionRequest:
        _, asked, prompt, new, current, read, calm, _, known = view
        numbered, situation, has_read, whole = self._candidates, None, dict(read), max(new, prompt)
        found: list[Candidate] = []
        numbers: list[int] = []
        for place, key, number, fit in line_up.fitted:
            if place == current and fit.resident:
                tokens = new
            else:
                tokens = max(new, prompt - has_read[key]) if key in has_read else whole
            told = known.told[place]
            mark = (number, asked, tokens, told if told >= 0 else (told, cores))
            one = numbered.get(mark)
            if one is None:
                situation = situation or self.situation(view)
                one = (len(numbered), candidate_of(self.truth.models[place], fit, situation))
                numbered[mark] = one
            numbers.append(one[0])
            found.append(one[1])
        together = (tuple(numbers), asked, prompt, new, current, calm)
        request = self._equal_requests.get(together)
        if request is None:
            current_key = self.keys[current] if current >= 0 else None
            request = SelectionRequest(
                features=self.features(view), candidates=tuple(found), current=current_key, calm_seconds=calm
            )
            self._equal_requests[together] = request
        return request

    def line_up(self, view: View) -> LineUp:
        """The models that can run, as they would: all that a decision sees of memory.

        A model that is not in memory takes it from the room there is when what idles is gone; who idles is no matter.
        """
        shown, known, limits = view.shown, view.known, self.limits
        prompt = view.prompt if shown.promised or view.prompt + limits.reserve > limits.window else 0
        calm = (view.calm <= 0.0, view.calm >= limits.up_after_seconds, view.lately[1])
        enough = tuple([m.plan.context >= view.prompt + limits.reserve for m in shown.loaded])
        together = (shown, known, calm, prompt, enough)
        found = self._line_ups.get(together)
        if found is None:
            here = self.situation(view)
            there = ResourceSnapshot((shown.empty,), calm_seconds=view.calm)
            away = replace(here, snapshot=there, loaded=()) if shown.loaded else here
            fits = [self._fit(place, view, calm, here, away) for place in range(len(self.keys))]
            fitted = tuple([fit for fit in fits if fit is not None])
            made = LineUp(len(self._equal_line_ups), fitted)
            found = self._equal_line_ups.setdefault(tuple([number for _, _, number, _ in fitted]), made)
            self._line_ups[together] = found
        return found

    def _fit(
        self, place: int, view: View, calm: tuple[bool, bool, bool], here: Situation, away: Situation
    ) -> Fitted | None:
        """How a model would run, or does, which is a matter of ``here``, or of the same with nobody idle: ``away``.

        None where it cannot.
        """
        shown, limits = view.shown, self.limits
        needed, window, taught = view.prompt + limits.reserve, limits.window, view.known.taught[place]
        if needed > window:
            window = self._window(place, view, here)
        instance = shown.inside.get(place)
        mark: Hashable
        if instance is not None:
            mark = (place, window, taught, shown.state, calm, instance.plan.context >= min(window, needed))
        elif shown.promised:
            mark = (place, window, taught, shown.state, view.prompt)
        else:
            mark = (place, window, taught, shown.room)
        if mark in self._fits:
            return self._fits[mark]
        outcome = fit_of(self.truth.models[place], away if instance is None else here)
        fitted = None if isinstance(outcome, Rejection) else self._on_grid(place, taught, outcome)
        self._fits[mark] = fitted
        return fitted

    def _on_grid(self, place: int, taught: int, fit: Fit) -> Fitted:
        """A fit on the grid; equal ones are the same."""
        fit = replace(fit, spare=spare_on_grid(fit.spare, self.limits))
        taken = fit.footprint
        size = (taken.anonymous, taken.file_backed, *taken.devices.items())
        loaded = (fit.resident, fit.reloads, fit.better)
        mark = (place, taught, fit.plan, size, fit.rung, fit.spare, fit.wanted, *loaded)
        return self._equal_fits.setdefault(mark, (place, self.keys[place], len(self._equal_fits), fit))

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
        taught = tuple([self._number(c) for c in corrections])
        measured = [speeds.get(key) for key in self.keys]
        speed_marks = tuple([self._number(s) if s else -1 - self._number(machines["local"]) for s in measured])
        return Knowledge(speeds, learned, machines, corrections, taught, speed_marks)

    def _number(self, what: Hashable) -> int:
        """Tells apart values that are not equal."""
        return self._numbers.setdefault(what, len(self._numbers))
