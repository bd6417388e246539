"""Servers that are not there, told apart by what is known of them."""

from __future__ import annotations

from mai_backends.lmstudio.discovery import Address
from mai_core.errors import BackendUnavailable, EngineAbsent

__all__ = ["ServerGone", "never_answered", "stopped_answering"]


class ServerGone(BackendUnavailable):
    """A server of this machine that answered before: nobody listens there any more, and it has nothing loaded."""


def stopped_answering(before: Address, *, stands_still: bool, seconds: float, remedy: str) -> BackendUnavailable:
    """It answered ``before`` in this process, and does not now. ``remedy`` is for one that has ended."""
    told = f"LM Studio stopped answering at {before}"
    if stands_still:
        return BackendUnavailable(f"{told}: nothing came within {seconds:g} s", remedy="restart LM Studio")
    return ServerGone(f"{told}: nobody listens there any more", remedy=remedy)


def never_answered(where: Address | str, *, configured: bool, seconds: float) -> BackendUnavailable:
    """Somebody takes up connections there and says nothing. Where nobody asked for a server that is no fault."""
    told = f"something listens at {where} but does not answer within {seconds:g} s"
    if configured:
        return BackendUnavailable(told, remedy="restart LM Studio there")
    return EngineAbsent(told, remedy="restart LM Studio, if it is that")
