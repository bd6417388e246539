"""Mistakes the type checker is to find: every line that says so, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mai_core import hookimpl
from mai_core.plugin.interfaces import ContextTransfer, SelectionStrategy
from mai_core.policy.selection import Proposal, SelectionRequest


class Nameless:
    def propose(self, request: SelectionRequest) -> Sequence[Proposal]:
        return ()


class Mute:
    name: ClassVar[str] = "mute"


@dataclass(frozen=True)
class Numeric:
    name: ClassVar[str] = "numeric"

    def propose(self, request: SelectionRequest) -> Sequence[float]:
        return [c.quality for c in request.candidates]


@hookimpl
def mai_register_strategies() -> list[type[SelectionStrategy]]:
    return [
        Nameless,  # wrong
        Mute,  # wrong
        Numeric,  # wrong
    ]


@hookimpl
def mai_register_transfers() -> list[type[ContextTransfer]]:
    return [Numeric]  # wrong
