"""Recent messages whole, the middle thinned, requests kept, the rest summarised: the transfer in use by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.context import TransferPlan, TransferRequest
from mai_strategies.transfers.compression import Shares
from mai_strategies.transfers.stepwise import stepwise

__all__ = ["Hybrid"]


@dataclass(frozen=True)
class Hybrid:
    """Leave a conversation alone until it reaches the trigger, then compress it well below, in one step.

    Of what is free at the target, ``recent_share`` goes to the latest exchanges and ``relevant_share`` to those that
    have most to do with the question, all of them whole; the rest goes to notes. With ``summaries`` the loaded model
    may write a part of these when it has nothing else to do.
    """

    name: ClassVar[str] = "hybrid"
    recent_share: float = 0.5
    relevant_share: float = 0.2
    summaries: bool = True

    def __post_init__(self) -> None:
        for option, share in (("recent_share", self.recent_share), ("relevant_share", self.relevant_share)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{option} is {share}, not between 0 and 1")

    def plan(self, request: TransferRequest) -> TransferPlan:
        """Raises ``ValueError`` when pinned messages leave no room for the last one."""
        return stepwise(request, Shares(self.recent_share, self.relevant_share, digests=self.summaries))
