"""What other programs take of a machine and give back, as steps in time."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from mai_core.bench.simulator.grid import POOL_STEPS
from mai_core.bench.simulator.machines import MachineSpec

__all__ = ["PROGRAMS", "Held", "Programs", "held_by_others"]

STEPS = POOL_STEPS
"""Others' memory comes in so many steps of a pool."""

STEP_SECONDS = 2.0


class Held(NamedTuple):
    """From ``at`` on others hold so many bytes of main memory and of each GPU, and this share of the processor."""

    at: float
    ram: int
    gpus: tuple[int, ...]
    busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Programs that come and go.

    always    share of main memory held all the time, beside the system's own
    every     seconds between two programs' starts, in the mean, and ``lasts`` until it ends
    share     of main memory one takes, in the mean; ``peak`` all of them together at most
    gpu       how often one takes as much of a GPU, too
    busy      share of the processor one uses
    """

    always: float = 0.10
    every: float = 1800.0
    lasts: float = 1200.0
    share: float = 0.10
    peak: float = 0.80
    gpu: float = 0.1
    busy: float = 0.0


PROGRAMS: Mapping[str, Programs] = MappingProxyType(
    {
        "none": Programs(always=0.0, every=math.inf),
        "quiet": Programs(every=7200.0, share=0.05),
        "office": Programs(always=0.15),
        "busy": Programs(always=0.20, every=900.0, share=0.12, gpu=0.2),
        "compiler": Programs(always=0.15, every=600.0, lasts=90.0, share=0.20, busy=0.5, gpu=0.0),
        "hungry": Programs(always=0.20, every=600.0, lasts=500.0, share=0.35, peak=0.95, gpu=0.4),
    }
)


def held_by_others(programs: Programs, machine: MachineSpec, draw: random.Random) -> Iterator[Held]:
    """The steps, without end, in the order of time; each program takes its memory bit by bit and returns all at once.

    Nobody takes more than ``peak`` of what the system leaves.
    """
    unit = machine.ram // STEPS
    base = machine.system + programs.always * (1.0 - machine.system)
    fixed = round(base * STEPS)
    most = round((machine.system + programs.peak * (1.0 - machine.system)) * STEPS)
    floor = tuple(round(gpu.kept * STEPS) for gpu in machine.gpus)
    gpu_most = round(0.6 * STEPS)
    yield Held(0.0, fixed * unit, _bytes(machine, floor), 0.0)
    changes: list[tuple[float, int, int, int, float]] = []
    ram, gpu, running, at, number = 0, 0, 0.0, 0.0, 0
    if programs.every == math.inf:
        return
    at = _exponential(draw, programs.every)
    while True:
        while changes and changes[0][0] <= at:
            when, _, more_ram, more_gpu, more_busy = heapq.heappop(changes)
            ram, gpu, running = ram + more_ram, gpu + more_gpu, running + more_busy
            taken = tuple(min(gpu_most, f + gpu) for f in floor)
            yield Held(when, min(most, fixed + ram) * unit, _bytes(machine, taken), min(0.5, max(0.0, running)))
        size = max(1, round(STEPS * programs.share * math.exp(draw.gauss(0.0, 0.5))))
        device = size if machine.gpus and draw.random() < programs.gpu else 0
        end = at + STEP_SECONDS * size + _exponential(draw, programs.lasts)
        for step in range(size):
            more = (1, 1 if device else 0, programs.busy if step == 0 else 0.0)
            heapq.heappush(changes, (at + STEP_SECONDS * step, number, *more))
            number += 1
        heapq.heappush(changes, (end, number, -size, -device, -programs.busy))
        number += 1
        at += _exponential(draw, programs.every)


def _bytes(machine: MachineSpec, steps: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(gpu.total // STEPS * taken for gpu, taken in zip(machine.gpus, steps, strict=True))


def _exponential(draw: random.Random, mean: float) -> float:
    return -mean * math.log1p(-draw.random())
