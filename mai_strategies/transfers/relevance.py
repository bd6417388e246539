"""What has to do with the question, from anywhere in the conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mai_core.policy.context import TransferPlan, TransferRequest
from mai_strategies.transfers.compression import Shares
from mai_strategies.transfers.stepwise import stepwise

__all__ = ["Relevance"]


@dataclass(frozen=True)
class Relevance:
    """Whole exchanges instead of notes: the latest, and from the whole conversation those the question is about.

    Of what is free at the target, ``recent_share`` goes to the latest exchanges and the rest to the best hits, in
    order of time and with the gaps between them marked. Nothing is summarised. It suits conversations that are looked
    up rather than told, such as work on code, where a quotation would tear what belongs together.
    """

    name: ClassVar[str] = "relevance"
    recent_share: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.recent_share <= 1.0:
            raise ValueError(f"recent_share is {self.recent_share}, not between 0 and 1")

    def plan(self, request: TransferRequest) -> TransferPlan:
        """Raises ``ValueError`` when pinned messages leave no room for the last one."""
        return stepwise(request, Shares(self.recent_share, 1.0 - self.recent_share, extracts=False, digests=False))
