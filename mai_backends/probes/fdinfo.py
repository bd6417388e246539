"""Which programs hold memory of a GPU, by what the kernel tells of their open files.

See the kernel's Documentation/gpu/drm-usage-stats.rst.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

__all__ = ["Clients"]

DEVICES = "/dev/dri/"
FRESH_SECONDS = 10.0
"""Between two looks through all open files: with some ten thousand of them, one takes a tenth of a second."""
SAME_SECONDS = 1.0
MOVED = 32 * 1024**2
"""Bytes by which a card's own figure has to move for what its programs held before to be forgotten."""
_UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
# Memory of the card itself is the region vram (amdgpu), vram0 (xe) or local0 (i915).
_SIZE = re.compile(r"^drm-(resident|memory|total)-(?:vram|local)\d*:\s*(\d+)\s*(\w*)$", re.MULTILINE)
_NAMES = re.compile(r"^(drm-pdev|drm-client-id):\s*(\S+)", re.MULTILINE)
_BEST = ("resident", "memory", "total")


class Clients:
    """The programs that have a GPU open."""

    def __init__(self, proc: Path, clock: Callable[[], float]) -> None:
        self._proc = proc
        self._clock = clock
        self._held: Mapping[str, Mapping[int, int]] = {}
        self._looked_at: float | None = None
        self._used: dict[str, int] = {}

    def holders(self, slot: str, used: int | None = None) -> Mapping[int, int]:
        """Bytes held on the card at ``slot`` by process; ``used`` is the card's own figure, where it has one.

        With it, what is told was told of that figure: nothing, from when it moves until programs are asked again.
        """
        now = self._clock()
        age = float("inf") if self._looked_at is None else now - self._looked_at
        moved = used is None or abs(used - self._used.get(slot, -MOVED)) >= MOVED
        if moved and age >= FRESH_SECONDS:
            self._held, self._looked_at, age = self._look(), now, 0.0
        if used is not None and moved:
            if age >= SAME_SECONDS:
                return {}
            self._used[slot] = used
        return self._held.get(slot, {})

    def _look(self) -> dict[str, dict[int, int]]:
        held: dict[str, dict[int, int]] = {}
        seen: set[tuple[str, str]] = set()
        for pid, said in self._open_files():
            names = dict(_NAMES.findall(said))
            slot, client = names.get("drm-pdev", ""), names.get("drm-client-id", "")
            # A file that was opened once and duplicated, or handed to a child, is told as often.
            if slot and (slot, client) not in seen:
                seen.add((slot, client))
                of = held.setdefault(slot, {})
                of[pid] = of.get(pid, 0) + _size(said)
        return held

    def _open_files(self) -> Iterator[tuple[int, str]]:
        for process in self._proc.iterdir() if self._proc.is_dir() else ():
            if not process.name.isdigit():
                continue
            try:
                with os.scandir(process / "fd") as files:
                    numbers = [file.name for file in files if os.readlink(file.path).startswith(DEVICES)]
                for name in numbers:
                    yield int(process.name), (process / "fdinfo" / name).read_text("ascii", "replace")
            except OSError:
                # It ended meanwhile, or is another person's.
                continue


def _size(said: str) -> int:
    """Bytes held, by the most exact of the figures told: resident, before what is only mapped."""
    found: dict[str, int] = {}
    for kind, amount, unit in _SIZE.findall(said):
        found[kind] = found.get(kind, 0) + int(amount) * _UNITS.get(unit, 1)
    return next((found[kind] for kind in _BEST if kind in found), 0)
