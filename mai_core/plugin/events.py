"""What observers hear of."""

from __future__ import annotations

from dataclasses import dataclass

from mai_core.policy.messages import StopReason, Usage

__all__ = ["ModelSwitched", "TurnFinished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSwitched:
    """The model in use changed; ``previous`` is None at the first turn. Holds nothing a person wrote."""

    previous: str | None
    current: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished:
    """A turn ended. Holds nothing a person or a model wrote."""

    conversation: str
    model: str
    stop: StopReason
    usage: Usage
    first_token_seconds: float
    seconds: float
