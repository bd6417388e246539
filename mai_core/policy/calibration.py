"""What to measure of a machine within so many seconds: which models, in which order, with how much to read and write.

A measurement never takes memory from anybody: a model that others loaded, that would have to make room, or that only
runs slowly is left out, and named.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from mai_core.policy.feasibility import feasible
from mai_core.policy.models import LoadPlan, ModelProfile
from mai_core.policy.resources import Host
from mai_core.policy.selection import Candidate, Rung
from mai_core.policy.situation import Situation
from mai_core.policy.speed import Speed

__all__ = ["SIZES", "Size", "Trial", "Untried", "busyness", "next_trial", "short_of_memory", "untried", "words"]

BUSY_CORES = 0.25
"""Share of the cores others use from which a rate says more about them than about the machine."""

BUSY_CPU = 0.4
"""Share of ten seconds in which some work waited for a core, beyond what an engine on every core makes itself."""

BUSY_MEMORY = 0.1
"""Share of ten seconds in which some work waited for memory: pages come and go, and so do mapped weights."""


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens to read and to write at once, and how often: medians need three."""

    prompt: int
    reply: int
    repetitions: int


SIZES = (Size(512, 48, 3), Size(256, 32, 3), Size(128, 24, 3), Size(64, 16, 3), Size(64, 16, 1))
"""The largest first. Below these a rate says more about the clock than about the model."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One model to load by ``plan``, what to have it do, and the seconds that is expected to take."""

    key: str
    plan: LoadPlan
    size: Size
    seconds: float


@dataclass(frozen=True, slots=True)
class Untried:
    """A model that is not measured, why, and what would change that."""

    key: str
    why: str
    remedy: str = ""


def next_trial(
    situation: Situation, seconds_left: float, *, done: Container[str] = (), wanted: Container[str] | None = None
) -> Trial | None:
    """The smallest model that is not ``done``, with as much to do as its share of the time that is left allows.

    ``wanted`` are the keys asked for; None is all. None when nobody is left whom the time is enough for; the first
    model is measured however short that is, since nothing is learnt from none.
    """
    candidates = {c.key: c for c in feasible(situation).candidates}
    eligible = [m for m in _eligible(situation, wanted) if m.key in candidates]
    left = [m for m in eligible if m.key not in done and _obstacle(m, candidates[m.key], situation) is None]
    if not left:
        return None
    model, plan, share = left[0], candidates[left[0].key].plan, seconds_left / len(left)
    speed = situation.speed(model, plan)
    sizes = [size for size in SIZES if 2 * (size.prompt + size.reply) <= plan.context] or [SIZES[-1]]
    size = next((size for size in sizes if _seconds(size, speed) <= share), sizes[-1])
    first = not any(m.key in done for m in situation.models)
    if not first and _seconds(size, speed) > seconds_left:
        return None
    return Trial(model.key, plan, size, _seconds(size, speed))


def untried(
    situation: Situation, *, done: Container[str] = (), wanted: Container[str] | None = None
) -> tuple[Untried, ...]:
    """Who was not measured, and why: the smallest first."""
    feasibility = feasible(situation)
    candidates = {c.key: c for c in feasibility.candidates}
    rejections = {r.key: r for r in feasibility.rejections}
    found = []
    for model in _eligible(situation, wanted):
        if model.key in done:
            continue
        if (rejection := rejections.get(model.key)) is not None:
            found.append(Untried(model.key, rejection.message, rejection.remedy))
        elif (candidate := candidates.get(model.key)) is not None:
            if (obstacle := _obstacle(model, candidate, situation)) is not None:
                found.append(obstacle)
            else:
                more = _seconds(SIZES[-1], situation.speed(model, candidate.plan))
                why = f"no time was left, it takes about {more:.0f} s"
                found.append(Untried(model.key, why, f"mai calibrate {model.key}"))
    return tuple(found)


def busyness(host: Host | None, *, alone: bool) -> str:
    """What keeps this machine from showing what it can do, in words; empty when nothing does.

    ``alone`` while no model of Mai's works: then whoever uses the cores is somebody else.
    """
    if host is None:
        return ""
    if short_of_memory(host):
        return f"work waited for memory {host.pressure.memory_some:.0%} of the time"
    if alone and host.cpu.busy >= BUSY_CORES:
        return f"others use {host.cpu.busy:.0%} of the {host.cpu.cores} cores"
    if not alone and host.pressure.cpu_some >= BUSY_CPU:
        return f"work waited for a core {host.pressure.cpu_some:.0%} of the time"
    return ""


def short_of_memory(host: Host) -> bool:
    """Whether pages leave memory as others come, so that what a model holds of it tells little."""
    return host.pressure.memory_some > BUSY_MEMORY


def words(count: int, salt: int) -> str:
    """A text of ``count`` words that differs from that of any other ``salt`` from its second word on, so that no
    engine finds it in its cache. Common words: most vocabularies make one token of each."""
    state, chosen = salt * 2_654_435_761 % 2**32, []
    for _ in range(count):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32  # Numerical Recipes' generator: the same on every machine
        chosen.append(_WORDS[(state >> 16) % len(_WORDS)])
    return " ".join(chosen)


_TEXT = (
    "the river runs down from old hills past small towns and wide fields where people work all day under open sky "
    "they sell bread fish wood and glass at a market near the stone bridge each morning before sun is high"
)
_WORDS = _TEXT.split()


def _eligible(situation: Situation, wanted: Container[str] | None) -> list[ModelProfile]:
    """What was asked for, else what is on this disk and runs in this machine's own memory; the smallest first."""
    if wanted is None:
        models = [m for m in situation.models if m.installed and not m.remote and m.size_bytes]
    else:
        models = [m for m in situation.models if m.key in wanted]
    return sorted(models, key=lambda m: (m.size_bytes, m.key))


def _obstacle(model: ModelProfile, candidate: Candidate, situation: Situation) -> Untried | None:
    """What forbids to try a model that could run."""
    if model.remote:
        return Untried(model.key, f"it runs on {model.host}, not on this machine")
    theirs = [m for m in situation.loaded if m.backend == model.backend and (m.leased or not m.owned)]
    if theirs:
        remedy = f"when it is done or unloaded: mai calibrate {model.key}"
        return Untried(model.key, f"somebody uses {theirs[0].key} on {model.backend}", remedy)
    if candidate.rung is Rung.SLOW:
        return Untried(model.key, "it would read its weights from disk again and again", "free memory")
    return None


def _seconds(size: Size, speed: Speed) -> float:
    once = size.prompt / speed.prompt_tps + size.reply / speed.generation_tps
    return speed.load_seconds + size.repetitions * once
