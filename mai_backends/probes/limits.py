"""What a model may take in a process of its own, whatever the machine has: ``ulimit``, which children inherit.

The limits count what a process maps, and a process with an engine maps more than it ever touches: stacks of threads,
heaps kept for them, libraries. That is not there for the model.

See getrlimit(2) and proc_pid_limits(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mai_backends.probes.kernel import text, whole

__all__ = ["ProcessLimits", "process_limits"]

_LINE = re.compile(r"^Max (address space|data size) +(\S+)", re.MULTILINE)


MIB = 2**20
UNTOUCHED_DATA = 144 * MIB
"""``VmData`` less ``RssAnon`` of workers with two models and two contexts: 131 to 134 MiB."""
UNTOUCHED_SPACE = 544 * MIB
"""``VmPeak`` less ``VmRSS`` of the same: 504 to 530 MiB."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Bytes for a model: ``address_space`` bounds all that is mapped, ``data`` what is private and writable."""

    address_space: int | None = None
    data: int | None = None


def process_limits(proc: Path) -> ProcessLimits:
    """What the limits of this process leave; None where there is none or nobody tells.

    Raises ``Lie`` or ``OSError``.
    """
    found = dict(_LINE.findall(text(proc / "self" / "limits") or ""))
    sizes = {name: whole(said, f"limit of {name}") for name, said in found.items() if said != "unlimited"}
    return ProcessLimits(
        _left(sizes.get("address space"), UNTOUCHED_SPACE), _left(sizes.get("data size"), UNTOUCHED_DATA)
    )


def _left(limit: int | None, untouched: int) -> int | None:
    return None if limit is None else max(0, limit - untouched)
