"""The clairvoyant that regret is measured against.

For every turn by itself: the utility of the best model there is, by its true probability of a good answer and its true
speed on an idle processor, as if it had always been in memory and had read the conversation, with nothing to wait for
but reading the question and writing the reply; limited only by what can be in memory at all, with what the system
itself and programs always hold. No policy can do better on any turn, so regret is never below zero; none can reach it
on all turns either, because two models do not share the memory of one. Money and waiting are those of the model
chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.bench.simulator.machines import MachineSpec
from mai_core.bench.simulator.truth import Truth
from mai_core.bench.simulator.workloads import Asked, Turn
from mai_core.policy.feasibility import Limits
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import LoadPlan

__all__ = ["CONDENSED_TO", "Prices", "ceilings"]

JOULES_PER_KWH = 3.6e6
CONDENSED_TO = 0.45
"""The share of a window that a conversation too long for it is condensed to: no less is read of a long question."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What counts, in one currency: a good ``answer``, an hour of waiting, a kilowatt hour.

    From the settings: an answer is worth the waiting that ``stability.seconds_value`` says it is.
    """

    answer: float
    hour: float
    kwh: float

    @classmethod
    def of(cls, limits: Limits, seconds_value: float) -> Prices:
        """What follows from the settings; without a price for waiting, an answer is worth one unit."""
        answer = limits.price_hour / 3600.0 / seconds_value if limits.price_hour and seconds_value else 1.0
        return cls(answer, limits.price_hour, limits.price_kwh)

    def of_work(self, joules: float) -> float:
        """Money for electricity."""
        return joules / JOULES_PER_KWH * self.kwh


def ceilings(
    turns: Sequence[Turn], asked: Sequence[Asked], truth: Truth, limits: Limits, prices: Prices, late_from: int
) -> list[float]:
    """The utility no policy exceeds, turn by turn."""
    rates = []
    for place in range(len(truth.models)):
        speed = _fastest(truth, place, limits.minimum)
        if speed is not None:
            rates.append((place, *speed))
    a_second = prices.hour / 3600.0 + prices.of_work(truth.machine.power)
    found = []
    for number, turn in enumerate(turns):
        kind, late = asked[turn.asked].kind, number >= late_from
        read = min(turn.question, int(CONDENSED_TO * limits.minimum))
        best = 0.0
        for place, reading, writing in rates:
            seconds = read / reading + turn.reply / writing
            worth = prices.answer * truth.quality(place, kind, turn.difficulty, late=late) - seconds * a_second
            best = max(best, worth)
        found.append(best)
    return found


def _fastest(truth: Truth, place: int, context: int) -> tuple[float, float] | None:
    """Tokens a second read and written at the very best; None for what can never be in memory."""
    machine, model, hidden = truth.machine, truth.models[place], truth.hidden[place]
    least = truth.footprint(place, predict_footprint(model, LoadPlan(context=context)))
    if machine.gpus:
        room = sum(gpu.total * (1.0 - gpu.kept) for gpu in machine.gpus)
        layers = (model.architecture.layers if model.architecture else 0) + 1
        share = min(1.0, room / (model.size_bytes * min(1.0, hidden.memory)))
        plan = LoadPlan(context=context, gpu_layers=-1 if share >= 1.0 else min(layers, int(share * layers) + 1))
    else:
        plan = LoadPlan(context=context)
        if least.anonymous > _ram(machine):
            return None
    speed, plain = truth.speed(place, plan, machine.cores), truth.speed(place, LoadPlan(context=context), machine.cores)
    return max(speed.prompt_tps, plain.prompt_tps), max(speed.generation_tps, plain.generation_tps)


def _ram(machine: MachineSpec) -> float:
    return machine.ram * (1.0 - machine.system)
