"""Whether the engine that is installed can use a GPU: the wheels of the package registry cannot, others can."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

from mai_backends.embedded.files import FileCache

__all__ = ["Devices"]

log = logging.getLogger("mai.embedded.devices")

ASK = """
import xllamacpp
print(any("GPU" in device["type"].name for device in xllamacpp.get_device_info()))
"""
ANSWER_SECONDS = 5.0


class Devices:
    """Asks the engine once for each installation of it, in a process of its own: drivers may crash.

    The answer is kept in ``cache``; an engine that gave none is asked again by the next process.
    """

    def __init__(self, cache: Path) -> None:
        self._answers = FileCache(cache)
        self._asking = asyncio.Lock()
        self._silent = False

    async def any(self) -> bool:
        """Whether layers can be put on a GPU; no, where the engine cannot tell."""
        async with self._asking:
            return await asyncio.to_thread(self._remembered)

    def _remembered(self) -> bool:
        found = importlib.util.find_spec("xllamacpp")
        if found is None or found.origin is None or self._silent:
            return False
        package = Path(found.origin)
        if (known := self._answers.get(package)) is None:
            if (known := _asked()) is None:
                self._silent = True
                return False
            self._answers.put(package, known)
            self._answers.save()
        return known is True


def _asked() -> bool | None:
    """What the engine says; None when it does not."""
    command = [sys.executable, "-P", "-c", ASK]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the engine does not tell its devices", extra={"error": str(error)})
        return None
    return done.stdout.split()[-1:] == ["True"]
