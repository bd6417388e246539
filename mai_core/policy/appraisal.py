"""What a model would take and how fast it would be: told of one that may not even be here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.policy.feasibility import wanted_context
from mai_core.policy.footprint import DEVICE, Part, footprint_parts
from mai_core.policy.learning import Estimate
from mai_core.policy.models import KvType, LoadPlan, ModelProfile
from mai_core.policy.planning import Wants, lowest, plan_load
from mai_core.policy.room import room_for
from mai_core.policy.selection import Rung
from mai_core.policy.situation import Situation
from mai_core.policy.speed import Speed

__all__ = ["Appraisal", "Asked", "Verdict", "appraise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A particular plan that is asked about: ``context`` tokens each (0 for what a turn would want), a type of cache
    (None for the best that fits), conversations at once."""

    context: int = 0
    kv_type: KvType | None = None
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it fits now; bytes that are ``short`` in the pool named where it does not, and what would help."""

    fits: bool
    short: int = 0
    pool: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """What is expected of a model.

    plan       the best that fits now; where none does, the one that takes the least
    wanted     tokens of context it would have if memory were no matter
    estimate   what it takes, corrected by what was learnt here; None where only its server knows
    parts      what the header alone says, thing by thing: not corrected
    verdict    whether it fits; None where nobody here knows the memory it would take
    speed      tokens a second; ``measured`` where they were seen here
    note       why less is known than could be
    """

    model: ModelProfile
    plan: LoadPlan
    rung: Rung
    wanted: int
    estimate: Estimate | None
    parts: Sequence[Part]
    verdict: Verdict | None
    speed: Speed
    measured: bool
    note: str = ""


def appraise(model: ModelProfile, situation: Situation, asked: Asked | None = None, *, note: str = "") -> Appraisal:
    """What ``model`` would take, loaded the best way that fits now.

    Without ``asked`` it fits exactly when ``feasible`` would take it where it is not in memory yet, but for the last
    rung, on which weights are read from disk again and again.
    """
    asked = asked or Asked()
    wanted = min(asked.context or wanted_context(model, situation), model.max_context)
    corrections = situation.corrections(model)
    kv_types = (KvType.F16, KvType.Q8_0) if asked.kv_type is None else (asked.kv_type,)
    wants = Wants(
        context=wanted,
        minimum=wanted if asked.context else min(situation.limits.minimum, wanted),
        parallel=asked.parallel,
        kv_types=kv_types,
        stretch=corrections.stretch,
    )
    if asked.context > model.max_context:
        note = "; ".join(
            part for part in (note, f"it takes no more than {model.max_context} tokens of context") if part
        )
    known = situation.speeds.get(model.key)
    measured = known is not None and known.generation_tps > 0.0
    host = situation.snapshot.host(model.host)
    if host is None or host.ram is None or not model.size_bytes:
        plan = LoadPlan(context=wanted, kv_type=kv_types[0], parallel=asked.parallel)
        return Appraisal(
            model=model,
            plan=plan,
            rung=Rung.FULL,
            wanted=wanted,
            estimate=None,
            parts=(),
            verdict=None,
            speed=situation.speed(model, plan),
            measured=measured,
            note=note,
        )
    room = room_for(model, situation)
    found = plan_load(model, host, wants, room=room, corrections=corrections)
    planned = found or lowest(model, wants, room)
    estimate = corrections.estimate(planned.footprint)
    verdict = Verdict(fits=True)
    if found is None:
        upper = estimate.upper
        missing = {
            host.ram.name: max(upper.ram - room.ram, upper.anonymous - room.anonymous),
            **{device.name: upper.devices.get(device.name, 0) - device.free for device in room.devices},
        }
        pool = max(missing, key=lambda name: missing[name])
        verdict = Verdict(fits=False, short=max(0, missing[pool]), pool=pool, remedy=_remedy(asked, wanted, situation))
    shares = {name: float(max(1, layers)) for name, layers in planned.layers.items()}
    return Appraisal(
        model=model,
        plan=planned.plan,
        rung=planned.rung,
        wanted=wanted,
        estimate=estimate,
        parts=footprint_parts(model, planned.plan, device=shares or DEVICE),
        verdict=verdict,
        speed=situation.speed(model, planned.plan),
        measured=measured,
        note=note,
    )


def _remedy(asked: Asked, wanted: int, situation: Situation) -> str:
    """What could be given up, the cheapest first."""
    ways = ["free that much memory"]
    if asked.context and wanted > situation.limits.minimum:
        ways.append("ask for a shorter context")
    if asked.kv_type is KvType.F16:
        ways.append("quantise the cache")
    if asked.parallel > 1:
        ways.append("serve fewer conversations at once")
    return ", ".join(ways) + ", or use a smaller model"
