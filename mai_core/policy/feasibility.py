"""Which models can serve this turn on the machines there are, and for the others: why not, and what would help.

The core decides this alone, so no strategy can pick a model that does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mai_core.policy.exclusion import exclusion, is_pinned, lost, rejected
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.ladder import rung_of
from mai_core.policy.learning import Corrections, Estimate
from mai_core.policy.models import Footprint, KvType, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.planning import Wants, lowest, plans
from mai_core.policy.quality import ability, answers_well
from mai_core.policy.resources import Host, MemoryPool
from mai_core.policy.room import headroom, room_for, spendable
from mai_core.policy.selection import Candidate, Rejection, RejectionReason, Rung
from mai_core.policy.situation import Limits, Situation
from mai_core.policy.stability import was_up_lately

__all__ = [
    "Feasibility",
    "Fit",
    "Limits",
    "Situation",
    "candidate_of",
    "feasible",
    "fit_of",
    "headroom",
    "spendable",
    "wanted_context",
]

MIB = 1024 * 1024
GIB = 1024 * MIB
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Feasibility:
    """The models that can serve the turn, and those that cannot."""

    candidates: tuple[Candidate, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model would be loaded, or is: all of a candidate that does not depend on what this turn asks for."""

    plan: LoadPlan
    footprint: Footprint
    rung: Rung
    spare: float
    wanted: int
    estimate: Estimate | None = None
    resident: bool = False
    reloads: bool = False
    better: LoadPlan | None = None


def feasible(situation: Situation) -> Feasibility:
    """Sort every model into candidates and rejections.

    A model that fits in no regular way becomes a candidate only when no model does: then the smallest runs slowly,
    its weights read from disk again and again, rather than none. A pinned model that nobody lists is rejected too, so
    that its person learns what became of it.
    """
    candidates: list[Candidate] = []
    rejections: list[Rejection] = []
    too_large: list[ModelProfile] = []
    for model in situation.models:
        outcome = exclusion(model, situation) or fit_of(model, situation)
        if isinstance(outcome, Rejection):
            rejections.append(outcome)
            if outcome.reason in (RejectionReason.MEMORY, RejectionReason.UNKNOWN_HOST):
                too_large.append(model)
        else:
            candidates.append(candidate_of(model, outcome, situation))
    last_resort = [(m, fit) for m in too_large if (fit := _slow_fit(m, situation))] if not candidates else []
    if last_resort:
        model, fit = min(last_resort, key=lambda pair: (pair[1].footprint.ram, pair[0].key))
        candidates.append(candidate_of(model, fit, situation))
        rejections = [r for r in rejections if r.key != model.key]
    if situation.pinned is not None and not any(is_pinned(model, situation.pinned) for model in situation.models):
        rejections.append(lost(situation.pinned, situation))
    return Feasibility(tuple(candidates), tuple(rejections))


def wanted_context(model: ModelProfile, situation: Situation) -> int:
    """The configured window, doubled until the conversation fits: however it grows, it is reloaded but a few times.

    No more than the model reads while a person has patience: the rest of a longer conversation is condensed.
    """
    limits, wanted = situation.limits, situation.limits.window
    needed = situation.features.prompt_tokens + limits.reserve
    if needed > wanted:
        needed = min(needed, model.max_context, int(situation.speed(model).prompt_tps * limits.patience))
        while wanted < needed:
            wanted *= 2
    return min(model.max_context, wanted)


def _resident(model: ModelProfile, situation: Situation) -> LoadedModel | None:
    """The roomiest instance already in memory; while the machine is in trouble, one that others loaded comes first."""
    troubled = situation.snapshot.calm_seconds <= 0.0
    instances = [m for m in situation.loaded if m.key == model.key and m.backend == model.backend]
    return max(instances, key=lambda m: (troubled and not m.owned, m.plan.context), default=None)


def fit_of(model: ModelProfile, situation: Situation) -> Fit | Rejection:
    """How the model would run: as it is loaded when that suffices, else by the first plan of the ladder that fits.

    While its host is in trouble an instance that Mai loaded is judged anew; leaving the others alone would free
    nothing. An instance too small for the conversation stays of use, which is then compressed, where no larger one
    fits with room to spare, and until memory was calm.
    """
    wanted = wanted_context(model, situation)
    host = situation.snapshot.host(model.host)
    pool = host.ram if host else None
    instance = _resident(model, situation)
    kept = _kept(instance, wanted, situation, pool) if instance is not None else None
    if (model.remote and pool is None) or not model.size_bytes:
        # Nobody here knows that machine's memory, or what the model takes of it: the server itself will say.
        return kept or Fit(LoadPlan(context=wanted), Footprint(), Rung.FULL, 1.0, wanted)
    if host is None or pool is None:
        why = f"no probe knows the memory of {model.host}"
        return kept or rejected(model, RejectionReason.UNKNOWN_HOST, why, "mai status shows which probe failed")
    if kept is None and (coming := _on_its_way(model, wanted, situation)) is not None:
        return coming
    room = room_for(model, situation)
    if instance is not None and kept is not None:
        calm = situation.snapshot.calm_seconds
        if calm <= 0.0 and instance.owned and not model.remote and instance.footprint.ram > room.ram:
            kept = None
        elif not _may_grow(situation):
            return kept
        elif kept.rung is not Rung.SMALLER_CONTEXT:
            better = _better(model, instance, wanted, situation)
            return kept if better is None else replace(kept, better=better)
        elif instance.asked is not None and instance.asked.context >= wanted:
            return kept
    corrections = situation.corrections(model)
    wants = _wants(wanted, situation, corrections)
    least = corrections.estimate(lowest(model, wants, room).footprint)
    footprint = least.upper
    for planned in plans(model, wants, room) if room.spare(footprint) >= 0.0 else ():
        plan, estimate = planned.plan, corrections.estimate(planned.footprint)
        spare = room.spare(estimate.upper)
        if kept is not None and plan.context <= kept.plan.context and spare >= 0.0:
            break
        if spare >= (0.0 if kept is None else situation.limits.spare):
            return Fit(plan, estimate.footprint, planned.rung, spare, wanted, estimate, reloads=kept is not None)
    needs = f"needs {_gib(footprint.ram)} of {_where(pool.name, host)} at its smallest"
    rejection = rejected(
        model,
        RejectionReason.MEMORY,
        f"{needs}, {_gib(max(0, room.ram))} can be had",
        f"free {_gib(footprint.ram - room.ram)} of memory, or use a smaller model",
    )
    return kept or replace(
        rejection,
        needed=footprint.ram,
        available=max(0, room.ram),
        pool=pool.name,
        error=least.error,
        basis=least.basis,
    )


def _on_its_way(model: ModelProfile, wanted: int, situation: Situation) -> Fit | None:
    """The model as it is being loaded now: the memory it has taken by then is its own."""
    needed = min(wanted, situation.features.prompt_tokens + situation.limits.reserve)
    for promise in situation.promised:
        if promise.model == model.key and promise.plan.context >= needed:
            return Fit(promise.plan, promise.footprint, rung_of(promise.plan, wanted), situation.limits.spare, wanted)
    return None


def _kept(instance: LoadedModel, wanted: int, situation: Situation, pool: MemoryPool | None) -> Fit:
    """The model as it is loaded. Others' choice of context and cache is theirs: it is no lower rung."""
    spare = (pool.available / pool.total) if pool and pool.total else 1.0
    needed = min(wanted, situation.features.prompt_tokens + situation.limits.reserve)
    rung = Rung.FULL
    if instance.plan.context < needed:
        rung = Rung.SMALLER_CONTEXT
    elif instance.owned:
        rung = rung_of(instance.plan, needed)
    told = wanted if instance.owned else 0
    return Fit(instance.plan, instance.footprint, rung, spare, told, resident=True)


def _may_grow(situation: Situation) -> bool:
    """Whether a model in memory may be loaded anew with more: after calm, and not twice in that time."""
    calm = situation.limits.up_after_seconds
    return situation.snapshot.calm_seconds >= calm and not was_up_lately(
        situation.history, situation.snapshot.taken_at, calm
    )


def _wants(wanted: int, situation: Situation, corrections: Corrections) -> Wants:
    return Wants(context=wanted, minimum=min(situation.limits.minimum, wanted), stretch=corrections.stretch)


def _better(model: ModelProfile, instance: LoadedModel, wanted: int, situation: Situation) -> LoadPlan | None:
    """The top of the ladder for an idle instance lower down, when it fits by now and nobody else has to leave."""
    if not instance.owned or instance.leased or rung_of(instance.plan, 0) is Rung.FULL:
        return None
    room, corrections = room_for(model, replace(situation, loaded=(instance,))), situation.corrections(model)
    full = next(plans(model, _wants(max(wanted, instance.plan.context), situation, corrections), room))
    if full.rung is not Rung.FULL:
        return None
    spare = room.spare(corrections.estimate(full.footprint).upper)
    return (
        full.plan
        if spare >= situation.limits.spare and not (instance.asked or instance.plan).serves(full.plan)
        else None
    )


def _where(pool: str, host: Host) -> str:
    return pool if host.name == "local" else f"{pool} on {host.name}"


def _slow_fit(model: ModelProfile, situation: Situation) -> Fit | None:
    """The last rung: its private memory fits without headroom, its weights are read from disk again and again."""
    host = situation.snapshot.host(model.host)
    minimum, wanted = (min(most, model.max_context) for most in (situation.limits.minimum, situation.limits.window))
    plan = LoadPlan(context=minimum, kv_type=KvType.Q8_0, batch=128)
    estimate = situation.corrections(model).estimate(predict_footprint(model, plan))
    footprint = estimate.footprint
    if host is None or host.ram is None:
        return Fit(plan, footprint, Rung.SLOW, 0.0, wanted, estimate)
    limits = replace(situation.limits, headroom=0.0, headroom_min=0)
    room = room_for(model, replace(situation, limits=limits))
    if footprint.anonymous > room.ram:
        return None
    return Fit(plan, footprint, Rung.SLOW, room.spare(footprint), wanted, estimate)


def candidate_of(model: ModelProfile, fit: Fit, situation: Situation) -> Candidate:
    """The model loaded so, as strategies see it for this turn."""
    features, limits, speed = situation.features, situation.limits, situation.speed(model, fit.plan)
    slowdown = 0.1 if fit.rung is Rung.SLOW else 1.0
    tokens = features.new_tokens
    if not (fit.resident and model.key == situation.current):
        tokens = max(tokens, features.prompt_tokens - situation.read.get(model.key, 0))
    load = 0.0 if fit.resident or model.remote else speed.load_seconds
    prefill = min(tokens, fit.plan.context) / (speed.prompt_tps * slowdown)
    writing = features.reply_tokens / (speed.generation_tps * slowdown)
    energy = 0.0 if model.remote else limits.watts * (load + prefill + writing)
    waiting = load + prefill + writing
    tokens_price = (model.price_in * features.prompt_tokens + model.price_out * features.reply_tokens) / 1e6
    money = tokens_price + energy / JOULES_PER_KWH * limits.price_kwh
    known, shift = ability(model, features), situation.abilities.of(model.model or model.key, features.kind)
    quality = answers_well(known + shift.value, features)
    return Candidate(
        key=model.key,
        model=model.model or model.key,
        backend=model.backend,
        host=model.host,
        tier=model.tier,
        plan=fit.plan,
        footprint=fit.footprint,
        rung=fit.rung,
        quality=quality,
        learnt=quality - answers_well(known, features) if shift.value else 0.0,
        outcomes=shift.outcomes,
        load_seconds=load,
        prefill_seconds=prefill,
        tokens_per_second=speed.generation_tps * slowdown,
        wait_seconds=waiting,
        energy_joules=energy,
        money=money,
        cost=money + waiting / 3600.0 * limits.price_hour,
        health=situation.health.get(model.key, 1.0),
        spare=fit.spare,
        wanted=fit.wanted,
        reloads=fit.reloads,
        better=fit.better,
        error=fit.estimate.error if fit.estimate else 0.0,
        basis=fit.estimate.basis if fit.estimate else None,
        is_loaded=fit.resident,
        is_remote=model.remote,
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
