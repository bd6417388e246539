"""A stand-in as a process of its own, which can be stopped and let go on as any process can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Apart", "apart", "freeze"]

ROOT = Path(__file__).resolve().parents[2]


def freeze(process: subprocess.Popen[str]) -> None:
    """Stop a child; it stands still when this returns: after a mere signal one more answer may come through."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


class Apart:
    """``told`` is the line it printed when it listened."""

    def __init__(self, process: subprocess.Popen[str], told: str) -> None:
        self._process = process
        self.told = told

    def freeze(self) -> None:
        """The system still takes up connections for it; it does not answer."""
        freeze(self._process)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def apart(engine: str, *arguments: str) -> Iterator[Apart]:
    """``tests.standins.ENGINE``, until the end of the block."""
    command = [sys.executable, "-m", f"tests.standins.{engine}", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Apart(process, process.stdout.readline().strip())
        finally:
            process.kill()
