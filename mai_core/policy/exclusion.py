"""What keeps a model from serving a turn whatever memory there is, and what would help."""

from __future__ import annotations

from dataclasses import replace

from mai_core.policy.budget import LEAST_REPLY, cost_of
from mai_core.policy.health import kept_out_words
from mai_core.policy.models import ModelProfile
from mai_core.policy.placements import is_meant
from mai_core.policy.selection import Rejection, RejectionReason
from mai_core.policy.situation import Situation

__all__ = ["exclusion", "is_pinned", "lost", "rejected"]

# A window that does not hold a question and its answer: whoever reports one has misread its engine.
LEAST_WINDOW = 128
TRIED_AGAIN = "it is tried again by itself"


def exclusion(model: ModelProfile, situation: Situation) -> Rejection | None:
    """What rules a model out before memory is looked at: the first obstacle."""
    limits = situation.limits
    if not model.installed:
        return rejected(model, RejectionReason.NOT_INSTALLED, "not on this disk", f"mai pull {model.key}")
    if model.fault:
        remedy = f"fetch it again (mai pull {model.key}) or delete {model.location}"
        return rejected(model, RejectionReason.BROKEN, model.fault, remedy)
    if model.key in situation.not_chat:
        return rejected(model, RejectionReason.NOT_CHAT, "a base model: it continues text, it does not converse")
    if limits.local_only and model.remote:
        why = "runs on another machine, and privacy is local-only"
        return rejected(model, RejectionReason.PRIVACY, why, "mai config set privacy any")
    if (gone := situation.unavailable.get(model.backend)) is not None:
        remedy = situation.remedies.get(model.backend) or TRIED_AGAIN
        return rejected(model, RejectionReason.UNAVAILABLE, _told_by(model.backend, gone), remedy)
    if missing := situation.features.capabilities - model.capabilities:
        return rejected(model, RejectionReason.CAPABILITY, "cannot do " + ", ".join(sorted(missing)))
    if model.is_priced and (left := situation.budget.left) is not None:
        least = cost_of(model, situation.features.prompt_tokens, LEAST_REPLY)
        if least > left:
            return rejected(model, RejectionReason.BUDGET, *situation.budget.refusal(least))
    if situation.health.get(model.key, 1.0) <= 0.0:
        why, remedy = kept_out_words(model.key, model.backend, situation.kept_out.get(model.key))
        return rejected(model, RejectionReason.HEALTH, why, remedy)
    if model.max_context < limits.minimum:
        why = f"sees at most {_tokens(model.max_context)}, {_tokens(limits.minimum)} are wanted"
        remedy = f"mai config set context.minimum {model.max_context}"
        if model.max_context < LEAST_WINDOW:
            why = f"is said to see {_tokens(max(0, model.max_context))}, too few for any conversation"
            remedy = f"set the context length of this model in {model.backend}"
        rejection = rejected(model, RejectionReason.CONTEXT, why, remedy)
        return replace(rejection, needed=limits.minimum, available=model.max_context)
    return None


def rejected(model: ModelProfile, reason: RejectionReason, message: str, remedy: str = "") -> Rejection:
    """A rejection that names its placement."""
    return Rejection(
        key=model.key,
        model=model.model or model.key,
        backend=model.backend,
        reason=reason,
        message=message,
        remedy=remedy,
    )


def is_pinned(model: ModelProfile, pinned: str) -> bool:
    """Whether a person's pin speaks of this placement."""
    return is_meant(pinned, key=model.key, model=model.model or model.key, backend=model.backend)


def lost(pinned: str, situation: Situation) -> Rejection:
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
