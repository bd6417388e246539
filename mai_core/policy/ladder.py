"""The ladder a model comes down when memory is short: on which rung it stands, and what to call that."""

from __future__ import annotations

from collections.abc import Iterable

from mai_core.policy.models import KvType, LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.selection import Rung

__all__ = ["rung_of", "rung_words", "rungs_of"]


def rung_of(plan: LoadPlan, wanted: int) -> Rung:
    """The rung a model that is loaded by ``plan`` stands on, where it is wanted with so many tokens of context."""
    if plan.gpu_layers is not None and plan.gpu_layers >= 0:
        return Rung.PARTIAL_OFFLOAD
    if plan.kv_type is not KvType.F16:
        return Rung.QUANTISED_KV
    return Rung.SMALLER_CONTEXT if plan.context < wanted else Rung.FULL


def rungs_of(loaded: Iterable[LoadedModel], models: Iterable[ModelProfile], window: int) -> dict[str, str]:
    """What ``rung_words`` says of every model Mai has loaded, by key, where a window of so many tokens is wanted."""
    most = {m.key: m.max_context for m in models}
    told = {m.key: rung_words(m.plan, min(window, most.get(m.key, window))) for m in loaded if m.owned}
    return {key: words for key, words in told.items() if words}


def rung_words(plan: LoadPlan, wanted: int, rung: Rung | None = None) -> str:
    """Where a model stands on the ladder, for a person; empty at the top. ``rung`` where it is known better."""
    rung = rung or rung_of(plan, wanted)
    if rung is Rung.FULL and plan.context < wanted:
        rung = Rung.SMALLER_CONTEXT
    window = f"{plan.context:,} of {wanted:,} tokens" if plan.context < wanted else f"{plan.context:,} tokens"
    match rung:
        case Rung.FULL:
            return ""
        case Rung.SMALLER_CONTEXT:
            return f"smaller context: {window}, memory is short"
        case Rung.QUANTISED_KV:
            return f"quantised cache ({plan.kv_type.value}): {window}, memory is short"
        case Rung.PARTIAL_OFFLOAD:
            where = f"{plan.gpu_layers} layers on the GPU, the others" if plan.gpu_layers else "all layers"
            return f"partial offload: {where} in main memory, {window}, the GPU's memory is short"
        case Rung.SLOW:
            return f"slow: its weights are read from disk again and again, {window}, memory is short"
