"""Which models can serve this turn on the machines there are, and for the others: why not, and what would help.

The core decides this alone, so no strategy can pick a model that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mai_core.policy.features import TaskFeatures
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.health import Breaker, kept_out_words
from mai_core.policy.models import Footprint, KvType, LoadedModel, LoadPlan, ModelProfile, Promise
from mai_core.policy.placements import is_meant
from mai_core.policy.quality import expected_quality
from mai_core.policy.resources import Host, ResourceSnapshot
from mai_core.policy.selection import Candidate, Rejection, RejectionReason, Rung
from mai_core.policy.speed import MeasuredSpeed, expected_speed

__all__ = ["Feasibility", "Limits", "Situation", "feasible", "spendable"]

MIB = 1024 * 1024
GIB = 1024 * MIB
CONTEXT_STEP = 1024
JOULES_PER_KWH = 3.6e6
# A window that does not hold a question and its answer: whoever reports one has misread its engine.
LEAST_WINDOW = 128
TRIED_AGAIN = "it is tried again by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the settings allow.

    headroom    share of main memory left free, between ``headroom_min`` and ``headroom_max`` bytes
    window      tokens of context wanted; ``minimum`` tokens below which a model is of no use
    reserve     tokens kept for the reply
    patience    seconds a person waits for a model to read a conversation: what no model reads in it is condensed
    local_only  models on other machines are never chosen
    watts       power drawn while a model works, for the energy of a turn; ``price_kwh`` makes money of it
    price_hour  what an hour of the person's waiting is worth, in the same currency
    """

    headroom: float = 0.10
    headroom_min: int = 256 * MIB
    headroom_max: int = 2 * GIB
    window: int = 8192
    minimum: int = 1024
    reserve: int = 512
    patience: float = 60.0
    local_only: bool = False
    watts: float = 25.0
    price_kwh: float = 0.30
    price_hour: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything a decision depends on.

    loaded     what is in memory now
    promised   memory that loads in flight will take
    current    key of the model that answered last
    health     1 for a model that works, 0 for one that is kept out after failures; absent means 1
    kept_out   the breakers that keep models out, by key
    speeds     what was measured on this machine, by key
    not_chat   keys of models that do not converse
    unavailable  backends that cannot be reached, and why; ``remedies`` what would bring them back, where known
    pinned_on  backends that had the pinned model when it was pinned
    """

    models: tuple[ModelProfile, ...]
    snapshot: ResourceSnapshot
    features: TaskFeatures
    limits: Limits = Limits()
    loaded: tuple[LoadedModel, ...] = ()
    promised: tuple[Promise, ...] = ()
    current: str | None = None
    pinned: str | None = None
    health: Mapping[str, float] = field(default_factory=dict)
    kept_out: Mapping[str, Breaker] = field(default_factory=dict)
    speeds: Mapping[str, MeasuredSpeed] = field(default_factory=dict)
    not_chat: frozenset[str] = frozenset()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    pinned_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feasibility:
    """The models that can serve the turn, and those that cannot."""

    candidates: tuple[Candidate, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class _Fit:
    plan: LoadPlan
    footprint: Footprint
    rung: Rung
    spare: float
    resident: bool = False


def spendable(host: Host, loaded: tuple[LoadedModel, ...], limits: Limits) -> int:
    """Bytes of main memory a model may take on ``host``: what is free, plus what replacing idle models returns.

    Only anonymous memory is credited: mapped weights already count as available to whoever needs them.
    """
    pool = host.ram
    if pool is None:
        return 0
    credit = sum(m.footprint.anonymous for m in loaded if m.host == host.name and m.owned and not m.leased)
    return pool.available + credit - headroom(host, limits)


def _promised(model: ModelProfile, situation: Situation) -> int:
    """Bytes of the model's host that other models are about to take."""
    return sum(p.footprint.ram for p in situation.promised if p.host == model.host and p.model != model.key)


def headroom(host: Host, limits: Limits) -> int:
    """Bytes of main memory that stay free for everything else; never more than a quarter of a small machine."""
    total = host.ram.total if host.ram else 0
    wanted = min(limits.headroom_max, max(limits.headroom_min, int(limits.headroom * total)))
    return min(wanted, total // 4)


def feasible(situation: Situation) -> Feasibility:
    """Sort every model into candidates and rejections.

    A model that fits in no regular way becomes a candidate only when no model does: then the smallest runs slowly,
    its weights read from disk again and again, rather than none. A pinned model that nobody lists is rejected too, so
    that its person learns what became of it.
    """
    candidates: list[Candidate] = []
    rejections: list[Rejection] = []
    last_resort: list[tuple[ModelProfile, _Fit]] = []
    for model in situation.models:
        outcome = _exclusion(model, situation) or _fit(model, situation)
        if isinstance(outcome, Rejection):
            rejections.append(outcome)
            if outcome.reason in (RejectionReason.MEMORY, RejectionReason.UNKNOWN_HOST):
                slow = _slow_fit(model, situation)
                if slow is not None:
                    last_resort.append((model, slow))
        else:
            candidates.append(_candidate(model, outcome, situation))
    if not candidates and last_resort:
        model, fit = min(last_resort, key=lambda pair: (pair[1].footprint.ram, pair[0].key))
        candidates.append(_candidate(model, fit, situation))
        rejections = [r for r in rejections if r.key != model.key]
    if situation.pinned is not None and not any(_is_pinned(model, situation.pinned) for model in situation.models):
        rejections.append(_lost(situation.pinned, situation))
    return Feasibility(tuple(candidates), tuple(rejections))


def _exclusion(model: ModelProfile, situation: Situation) -> Rejection | None:
    """What rules a model out before memory is looked at: the first obstacle."""
    limits = situation.limits
    if not model.installed:
        return _rejected(model, RejectionReason.NOT_INSTALLED, "not on this disk", f"mai pull {model.key}")
    if model.fault:
        remedy = f"fetch it again (mai pull {model.key}) or delete {model.location}"
        return _rejected(model, RejectionReason.BROKEN, model.fault, remedy)
    if model.key in situation.not_chat:
        return _rejected(model, RejectionReason.NOT_CHAT, "a base model: it continues text, it does not converse")
    if limits.local_only and model.remote:
        why = "runs on another machine, and privacy is local-only"
        return _rejected(model, RejectionReason.PRIVACY, why, "mai config set privacy any")
    if (gone := situation.unavailable.get(model.backend)) is not None:
        remedy = situation.remedies.get(model.backend) or TRIED_AGAIN
        return _rejected(model, RejectionReason.UNAVAILABLE, _told_by(model.backend, gone), remedy)
    if missing := situation.features.capabilities - model.capabilities:
        return _rejected(model, RejectionReason.CAPABILITY, "cannot do " + ", ".join(sorted(missing)))
    if situation.health.get(model.key, 1.0) <= 0.0:
        why, remedy = kept_out_words(model.key, model.backend, situation.kept_out.get(model.key))
        return _rejected(model, RejectionReason.HEALTH, why, remedy)
    if model.max_context < limits.minimum:
        why = f"sees at most {_tokens(model.max_context)}, {_tokens(limits.minimum)} are wanted"
        remedy = f"mai config set context.minimum {model.max_context}"
        if model.max_context < LEAST_WINDOW:
            why = f"is said to see {_tokens(max(0, model.max_context))}, too few for any conversation"
            remedy = f"set the context length of this model in {model.backend}"
        rejection = _rejected(model, RejectionReason.CONTEXT, why, remedy)
        return replace(rejection, needed=limits.minimum, available=model.max_context)
    return None


def _rejected(model: ModelProfile, reason: RejectionReason, message: str, remedy: str = "") -> Rejection:
    return Rejection(
        key=model.key,
        model=model.model or model.key,
        backend=model.backend,
        reason=reason,
        message=message,
        remedy=remedy,
    )


def _is_pinned(model: ModelProfile, pinned: str) -> bool:
    return is_meant(pinned, key=model.key, model=model.model or model.key, backend=model.backend)


def _lost(pinned: str, situation: Situation) -> Rejection:
    """What became of a pinned model that no engine lists: mostly the one that had it is down."""
    prefixes = (name for name in situation.unavailable if pinned.startswith(f"{name}/"))
    had = situation.pinned_on or tuple(prefixes)
    down = {name: situation.unavailable[name] for name in had if name in situation.unavailable}
    message, remedy = "no engine that answers has it", "mai models lists what there is"
    if down:
        message = "; ".join(_told_by(name, gone) for name, gone in down.items())
        remedy = next((r for name in down if (r := situation.remedies.get(name))), TRIED_AGAIN)
    elif had:
        message = f"{' and '.join(had)} no longer {'offers' if len(had) == 1 else 'offer'} it"
    return Rejection(
        key=pinned,
        model=pinned,
        backend=next(iter(down or had), ""),
        reason=RejectionReason.UNAVAILABLE,
        message=message,
        remedy=remedy,
    )


def _told_by(backend: str, gone: str) -> str:
    """Why a backend cannot be reached, in a line that names it."""
    return gone if backend.lower() in gone.lower().replace(" ", "") else f"{backend}: {gone}"


def _tokens(amount: int) -> str:
    return f"{amount} token" if amount == 1 else f"{amount} tokens"


def _wanted_context(model: ModelProfile, situation: Situation) -> int:
    """The configured window, more when the conversation needs it, in steps so that small growth reloads nothing.

    No more than the model reads while a person has patience: the rest of a longer conversation is condensed.
    """
    limits = situation.limits
    host = situation.snapshot.host(model.host)
    speed = expected_speed(model, host.cpu.free_cores if host else 1, situation.speeds.get(model.key))
    needed = min(situation.features.prompt_tokens + limits.reserve, int(speed.prompt_tps * limits.patience))
    stepped = -(-needed // CONTEXT_STEP) * CONTEXT_STEP
    return min(model.max_context, max(limits.window, stepped))


def _plans(wanted: int, minimum: int) -> Iterator[tuple[LoadPlan, Rung]]:
    """The ladder: the wanted context, then smaller ones by halves, then all of them with a quantised cache."""
    contexts = [wanted]
    while contexts[-1] > minimum:
        contexts.append(max(minimum, contexts[-1] // 2))
    yield LoadPlan(context=wanted), Rung.FULL
    for context in contexts[1:]:
        yield LoadPlan(context=context), Rung.SMALLER_CONTEXT
    for context in contexts:
        yield LoadPlan(context=context, kv_type=KvType.Q8_0), Rung.QUANTISED_KV


def _resident(model: ModelProfile, situation: Situation) -> LoadedModel | None:
    """The roomiest instance already in memory.

    While its host is in trouble those that Mai loaded are judged anew; leaving the others alone would free nothing.
    """
    anew = situation.snapshot.calm_seconds <= 0.0 and not model.remote
    instances = [
        m for m in situation.loaded if m.key == model.key and m.backend == model.backend and not (m.owned and anew)
    ]
    return max(instances, key=lambda m: m.plan.context, default=None)


def _fit(model: ModelProfile, situation: Situation) -> _Fit | Rejection:
    """How the model would run: as it is loaded when that suffices, else by the first plan of the ladder that fits.

    An instance too small for the conversation stays of use where no larger one fits: the conversation is compressed.
    """
    host = situation.snapshot.host(model.host)
    wanted = _wanted_context(model, situation)
    pool = host.ram if host else None
    instance = _resident(model, situation)
    kept = None
    if instance is not None:
        needed = min(wanted, situation.features.prompt_tokens + situation.limits.reserve)
        spare = (pool.available / pool.total) if pool and pool.total else 1.0
        enough = instance.plan.context >= needed
        rung = Rung.FULL if enough else Rung.SMALLER_CONTEXT
        kept = _Fit(instance.plan, instance.footprint, rung, spare, resident=True)
        if enough:
            return kept
    if (model.remote and pool is None) or not model.size_bytes:
        # Nobody here knows that machine's memory, or what the model takes of it: the server itself will say.
        return kept or _Fit(LoadPlan(context=wanted), Footprint(), Rung.FULL, 1.0)
    if host is None or pool is None:
        why = f"no probe knows the memory of {model.host}"
        return kept or _rejected(model, RejectionReason.UNKNOWN_HOST, why, "mai plugins shows which probe failed")
    budget = spendable(host, situation.loaded, situation.limits) - _promised(model, situation)
    footprint = Footprint()
    for plan, rung in _plans(wanted, min(situation.limits.minimum, wanted)):
        footprint = predict_footprint(model, plan)
        if footprint.ram <= budget:
            if kept is not None and plan.context <= kept.plan.context:
                return kept
            return _Fit(plan, footprint, rung, (budget - footprint.ram) / pool.total)
    needs = f"needs {_gib(footprint.ram)} of {_where(pool.name, host)} at its smallest"
    rejection = _rejected(
        model,
        RejectionReason.MEMORY,
        f"{needs}, {_gib(max(0, budget))} can be had",
        f"free {_gib(footprint.ram - budget)} of memory, or use a smaller model",
    )
    return kept or replace(rejection, needed=footprint.ram, available=max(0, budget), pool=pool.name)


def _where(pool: str, host: Host) -> str:
    return pool if host.name == "local" else f"{pool} on {host.name}"


def _slow_fit(model: ModelProfile, situation: Situation) -> _Fit | None:
    """The last rung: its private memory fits without headroom, its weights are read from disk again and again."""
    host = situation.snapshot.host(model.host)
    minimum = min(situation.limits.minimum, model.max_context)
    plan = LoadPlan(context=minimum, kv_type=KvType.Q8_0, batch=128)
    footprint = predict_footprint(model, plan)
    if host is None or host.ram is None:
        return _Fit(plan, footprint, Rung.SLOW, 0.0)
    limits = replace(situation.limits, headroom=0.0, headroom_min=0)
    budget = spendable(host, situation.loaded, limits) - _promised(model, situation)
    if footprint.anonymous > budget:
        return None
    return _Fit(plan, footprint, Rung.SLOW, (budget - footprint.ram) / max(1, host.ram.total))


def _candidate(model: ModelProfile, fit: _Fit, situation: Situation) -> Candidate:
    features, limits = situation.features, situation.limits
    host = situation.snapshot.host(model.host)
    speed = expected_speed(model, host.cpu.free_cores if host else 1, situation.speeds.get(model.key))
    slowdown = 0.1 if fit.rung is Rung.SLOW else 1.0
    tokens = features.new_tokens if fit.resident and model.key == situation.current else features.prompt_tokens
    load = 0.0 if fit.resident or model.remote else speed.load_seconds
    prefill = min(tokens, fit.plan.context) / (speed.prompt_tps * slowdown)
    writing = features.reply_tokens / (speed.generation_tps * slowdown)
    energy = 0.0 if model.remote else limits.watts * (load + prefill + writing)
    waiting = load + prefill + writing
    tokens_price = (model.price_in * features.prompt_tokens + model.price_out * features.reply_tokens) / 1e6
    money = tokens_price + energy / JOULES_PER_KWH * limits.price_kwh
    return Candidate(
        key=model.key,
        model=model.model or model.key,
        backend=model.backend,
        host=model.host,
        tier=model.tier,
        plan=fit.plan,
        footprint=fit.footprint,
        rung=fit.rung,
        quality=expected_quality(model, features),
        load_seconds=load,
        prefill_seconds=prefill,
        tokens_per_second=speed.generation_tps * slowdown,
        wait_seconds=waiting,
        energy_joules=energy,
        money=money,
        cost=money + waiting / 3600.0 * limits.price_hour,
        health=situation.health.get(model.key, 1.0),
        spare=fit.spare,
        is_loaded=fit.resident,
        is_remote=model.remote,
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
