"""Which process something is of, told so that it can be seen later whether that still runs."""

from __future__ import annotations

import logging
import os
import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

__all__ = ["Mark", "Process"]

log = logging.getLogger("mai.lmstudio")

# A process's start is read relative to a boot time that follows the system clock, so it shifts a little as that is set.
SAME_START_SECONDS = 2.0
_TEXT = re.compile(r"(\d{1,10})-(\d{1,12})-([A-Za-z0-9._-]{0,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the machine ``node``; ``born`` is when the system started it, in whole seconds since the epoch.

    A folder may be shared by machines, so the number of a process says nothing without its machine.
    """

    pid: int
    born: int
    node: str

    @classmethod
    def this(cls) -> Self:
        """The one that asks."""
        return cls(*_this(os.getpid()))

    @classmethod
    def of(cls, text: str) -> Self | None:
        """What ``str`` made; None for anything else."""
        match = _TEXT.fullmatch(text)
        return cls(int(match[1]), int(match[2]), match[3]) if match else None

    def __str__(self) -> str:
        return f"{self.pid}-{self.born}-{self.node}"

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended: nobody can tell of another machine's."""
        import psutil

        if self.node != _node():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.born) <= SAME_START_SECONDS
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except (psutil.Error, ValueError, OverflowError):
            return False


class Mark:
    """A file that tells other processes that this one is starting LM Studio. Nothing fails for want of it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def put(self) -> None:
        """From now on."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.write_text(str(Process.this()), encoding="ascii")
        except OSError as error:
            log.info("the start is not marked", extra={"why": str(error)})

    def take(self) -> None:
        """No longer, if it is this process's own."""
        try:
            if self._read() == Process.this():
                self._file.unlink(missing_ok=True)
        except OSError as error:
            log.info("the mark of a start stays", extra={"why": str(error)})

    def told(self) -> str:
        """What a person is told of another process's start; empty where there is none under way."""
        process = self._read()
        if process is None or process == Process.this() or process.node != _node() or process.is_dead:
            return ""
        return f"process {process.pid} of Mai is starting LM Studio"

    def _read(self) -> Process | None:
        try:
            return Process.of(self._file.read_text(encoding="ascii")[:200])
        except (OSError, ValueError):
            return None


@lru_cache(maxsize=1)
def _this(pid: int) -> tuple[int, int, str]:
    import psutil

    return pid, round(psutil.Process(pid).create_time()), _node()


def _node() -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "", platform.node())[:64]
