"""Who holds memory of a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mai_backends.probes.kernel import text
from mai_core.policy.resources import Holder

__all__ = ["largest"]

MOST = 8


def largest(held: Mapping[int, int], proc: Path) -> tuple[Holder, ...]:
    """The processes that hold most, by name where ``proc`` tells it; those that hold nothing are left out."""
    order = sorted(((size, pid) for pid, size in held.items() if size > 0), reverse=True)
    return tuple(Holder(pid, size, _name(pid, proc)) for size, pid in order[:MOST])


def _name(pid: int, proc: Path) -> str:
    try:
        return (text(proc / str(pid) / "comm") or "").strip()
    except OSError:
        return ""
