"""What the core does not know: how much models really take, how fast they are, and how well they answer."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from mai_core.bench.simulator.machines import MachineSpec
from mai_core.policy.kinds import TaskKind
from mai_core.policy.models import Footprint, KvType, LoadPlan, ModelProfile
from mai_core.policy.quality import logit, prior_quality
from mai_core.policy.regression import sigmoid
from mai_core.policy.speed import LOAD_SECONDS, Speed, active_share, expected_speed
from mai_core.policy.tasks import SLOPE

__all__ = ["Hidden", "Truth", "draw_truth"]

MEMORY_ERROR = 0.05
"""Spread of what models take over what is predicted: more than the core reckons with (0.04), and far more than was
measured (0.7 % at most in 98 loads, see docs/memory.md)."""

FURTHEST = 3.0
"""Spreads beyond which no model is off what is predicted."""

SPEED_ERROR = 0.20
ABILITY_ERROR, KIND_ERROR = 0.30, 0.30
"""Spread of a model's ability over what the catalogue says, in logits: over all kinds of task, and in each."""

WORSE, BETTER = 2.0, 1.5
"""Logits by which two models change, where something changes."""

ORDINARY, ORDINARY_CONTEXT, GPU_SHARE, SECOND = (200, 250), 8192, 0.8, 0.005
"""An ordinary turn: tokens read and written, in a window; what a GPU has room for; and what a second of it costs."""

CONDENSED_LOSES, COARSE_CACHE_LOSES = 0.4, 0.03
"""Logits lost by who sees none of the conversation, and with a cache of 8 bits."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """One model: factors on what is predicted, and ability in logits by kind of task, early and late.

    ``starting`` are seconds an answer takes whatever is to be read, which the core does not reckon with.
    """

    memory: float
    reading: float
    writing: float
    early: dict[TaskKind, float]
    late: dict[TaskKind, float]
    starting: float = 0.0


@dataclass(frozen=True)
class Truth:
    """All models of one machine, in the order of its inventory."""

    machine: MachineSpec
    models: tuple[ModelProfile, ...]
    hidden: tuple[Hidden, ...]
    _speeds: dict[tuple[int, LoadPlan, int], Speed] = field(default_factory=dict, compare=False, repr=False)

    def footprint(self, model: int, predicted: Footprint) -> Footprint:
        """What a load really takes, of which the formulas say ``predicted``; mapped weights are as long as they are."""
        factor = self.hidden[model].memory
        devices = {name: int(size * factor) for name, size in predicted.devices.items()}
        return Footprint(int(predicted.anonymous * factor), predicted.file_backed, devices)

    def speed(self, model: int, plan: LoadPlan, cores: int) -> Speed:
        """Tokens a second with ``cores`` free and all weights in memory, and seconds to load."""
        mark = (model, plan, cores)
        found = self._speeds.get(mark)
        if found is None:
            profile, own = self.models[model], self.hidden[model]
            plain = expected_speed(profile, cores, plan=plan, machine=self.machine.speed)
            loading = LOAD_SECONDS + profile.size_bytes / self.machine.disk
            found = Speed(plain.prompt_tps * own.reading, plain.generation_tps * own.writing, loading)
            self._speeds[mark] = found
        return found

    def reread_seconds(self, model: int, missing: int) -> float:
        """Seconds a token takes longer when so many bytes of mapped weights do not stay in memory."""
        return missing * active_share(self.models[model]) / self.machine.disk

    def worth(self, model: int) -> float:
        """What an ordinary answer of it is worth early on, in good answers: its quality, less the waiting."""
        profile, machine = self.models[model], self.machine
        own = sum(gpu.total * (1.0 - gpu.kept) for gpu in machine.gpus)
        plan = LoadPlan(context=ORDINARY_CONTEXT, gpu_layers=-1 if profile.size_bytes < GPU_SHARE * own else 0)
        speed, abilities = self.speed(model, plan, machine.cores), self.hidden[model].early.values()
        seconds = ORDINARY[0] / speed.prompt_tps + ORDINARY[1] / speed.generation_tps
        return sum(map(sigmoid, abilities)) / len(abilities) - SECOND * seconds

    def quality(
        self,
        model: int,
        kind: TaskKind,
        difficulty: float,
        *,
        late: bool,
        plan: LoadPlan | None = None,
        unseen: float = 0.0,
    ) -> float:
        """Probability of a good answer: an item response model, as the core's, with abilities nobody knows.

        ``unseen`` is the share of the conversation that does not fit the window.
        """
        own = self.hidden[model]
        ability = (own.late if late else own.early)[kind]
        lost = CONDENSED_LOSES * unseen
        if plan is not None and plan.kv_type is not KvType.F16:
            lost += COARSE_CACHE_LOSES
        return sigmoid(ability - SLOPE * (difficulty - 0.5) - lost)


def draw_truth(machine: MachineSpec, models: Sequence[ModelProfile], draw: random.Random, *, changes: bool) -> Truth:
    """A world: with ``changes`` the model most worth having turns bad later on, and one of the lesser ones good."""
    hidden = []
    for profile in models:
        gauss = draw.gauss
        ability = gauss(0.0, ABILITY_ERROR)
        early = {
            kind: logit(profile.quality.get(kind, profile.quality.get("default", prior_quality(profile))))
            + ability
            + gauss(0.0, KIND_ERROR)
            for kind in TaskKind
        }
        off = max(-FURTHEST, min(FURTHEST, gauss(0.0, 1.0)))
        memory = math.exp(off * MEMORY_ERROR)
        reading, writing = (math.exp(gauss(0.0, SPEED_ERROR)) for _ in range(2))
        hidden.append(Hidden(memory, reading, writing, early, early))
    if changes and len(hidden) > 1:
        before = Truth(machine, tuple(models), tuple(hidden))
        order = sorted(range(len(hidden)), key=before.worth)
        for place, change in ((order[-1], -WORSE), (order[len(order) // 2 - 1], BETTER)):
            own = hidden[place]
            late = {kind: ability + change for kind, ability in own.early.items()}
            hidden[place] = Hidden(own.memory, own.reading, own.writing, own.early, late)
    return Truth(machine, tuple(models), tuple(hidden))
