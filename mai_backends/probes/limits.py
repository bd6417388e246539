"""What a process may take at most, whatever the machine has: ``ulimit``, which its children inherit.

See getrlimit(2) and proc_pid_limits(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mai_backends.probes.kernel import text, whole

__all__ = ["ProcessLimits", "process_limits"]

_LINE = re.compile(r"^Max (address space|data size) +(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Bytes of one process: ``address_space`` bounds all it maps, ``data`` what is private and writable."""

    address_space: int | None = None
    data: int | None = None


def process_limits(proc: Path) -> ProcessLimits:
    """The limits of this process; None where there is none or nobody tells. Raises ``Lie`` or ``OSError``."""
    found = dict(_LINE.findall(text(proc / "self" / "limits") or ""))
    sizes = {name: whole(said, f"limit of {name}") for name, said in found.items() if said != "unlimited"}
    return ProcessLimits(sizes.get("address space"), sizes.get("data size"))
