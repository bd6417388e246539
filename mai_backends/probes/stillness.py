"""Whether meminfo follows what the kernel does, or stands still."""

from __future__ import annotations

from pathlib import Path

from mai_backends.probes.kernel import Lie, text

__all__ = ["Stillness"]

LOOKS = 3
PAGES = 65536
"""Pages handed out, some of which show in meminfo: 256 MiB in most kernels."""


class Stillness:
    """Remembers how ``meminfo`` looked last.

    An idle machine may look the same for long. One whose kernel has handed out memory meanwhile, which ``vmstat``
    counts, may not.
    """

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._said: str | None = None
        self._same = 0
        self._handed_out: int | None = None

    def moves(self) -> bool:
        """True; raises ``Lie`` when ``meminfo`` has been the same for several looks and should not have been."""
        said = text(self._proc / "meminfo")
        if said is None or said != self._said:
            self._said, self._same, self._handed_out = said, 0, None
            return True
        self._same += 1
        pages = _pages_handed_out(text(self._proc / "vmstat") or "")
        if self._handed_out is None:
            self._handed_out = pages
        elif self._same >= LOOKS and pages - self._handed_out >= PAGES:
            raise Lie(f"meminfo stands still: {pages - self._handed_out} pages were handed out, and it shows none")
        return True


def _pages_handed_out(vmstat: str) -> int:
    """Since the machine started, by all zones; 0 where nobody tells."""
    zones = (line.split() for line in vmstat.splitlines() if line.startswith("pgalloc_"))
    return sum(int(words[1]) for words in zones if len(words) == 2 and words[1].isdigit())
