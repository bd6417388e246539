"""Pressure stall information: the share of time in which work waited for memory or a processor.

See the kernel's Documentation/accounting/psi.rst.
"""

from __future__ import annotations

from pathlib import Path

from mai_backends.probes.kernel import Lie, text
from mai_core.policy.resources import Pressure

__all__ = ["read_pressure"]


def read_pressure(proc: Path, group: Path | None) -> Pressure | None:
    """The last ten seconds' shares; None where the kernel does not tell. Raises ``OSError`` or ``Lie``.

    In a group with a limit of its own (``group`` is its folder), what counts is how long that group waited for memory.
    """
    own = text(group / "memory.pressure") if group is not None else None
    memory = own or text(proc / "pressure" / "memory")
    if not memory:
        return None
    cpu = text(proc / "pressure" / "cpu") or ""
    return Pressure(_share(memory, "some"), _share(memory, "full"), _share(cpu, "some"))


def _share(said: str, kind: str) -> float:
    """``avg10`` of one line, as a share; 0 without such a line."""
    line = next((line for line in said.splitlines() if line.startswith(f"{kind} ")), None)
    if line is None:
        return 0.0
    fields = dict(field.partition("=")[::2] for field in line.split()[1:])
    percent = float(fields.get("avg10", "nan"))
    if not 0.0 <= percent <= 100.0:
        raise Lie(f"pressure {line[:60]!r}")
    return percent / 100.0
