"""The probe of Apple's chips, whose GPU works in main memory up to a limit."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from mai_backends.probes.options import refuse_options
from mai_backends.probes.sensors import Sensors
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import HostReading, MemoryPool, PoolKind

__all__ = ["AppleProbe", "default_wired_limit"]

MIB = 1024**2
GIB = 1024**3
LIMITS = ("iogpu.wired_limit_mb", "debug.iogpu.wired_limit")
"""What a person may set, in MiB on macOS 14 and later, in bytes before; 0 leaves it to the system."""


class Sysctl(NamedTuple):
    """How the kernel's figures and words are read: None where it has no such name."""

    number: Callable[[str], int | None]
    words: Callable[[str], str]


class AppleProbe:
    """What the GPU may take of main memory; silent on other machines."""

    kind: ClassVar[str] = "apple"

    def __init__(
        self,
        context: ProbeContext,
        *,
        sysctl: Callable[[], Sysctl] | None = None,
        memory: Callable[[], Any] | None = None,
    ) -> None:
        refuse_options(context, self.kind)
        self.name = context.name
        self._here = sysctl is not None or (sys.platform == "darwin" and platform.machine() == "arm64")
        self._open = sysctl or _kernel
        self._memory = memory or _virtual_memory
        self._sysctl: Sysctl | None = None

    def sample(self) -> HostReading:
        """What the kernel tells now, in a few calls."""
        if not self._here:
            return HostReading()
        sensors = Sensors()
        pool = sensors.ask("gpu0", self._pool)
        return HostReading(pools=() if pool is None else (pool,), faults=sensors.faults)

    def _pool(self) -> MemoryPool:
        self._sysctl = self._sysctl or self._open()
        memory = self._memory()
        set_by_hand = _limit(self._sysctl)
        limit = min(memory.total, set_by_hand or default_wired_limit(memory.total))
        # Memory the GPU works in is wired; so is the kernel's own, which makes this the cautious figure.
        available = max(0, min(memory.available, limit - memory.wired))
        by = LIMITS[0] if set_by_hand else "macOS"
        label = self._sysctl.words("machdep.cpu.brand_string")
        return MemoryPool("gpu0", PoolKind.UNIFIED, limit, available, by, label)


def default_wired_limit(total: int) -> int:
    """Bytes the GPU may keep wired unless a person says otherwise: two thirds below 36 GiB, three quarters from there.

    Apple does not document it. It is what Metal's ``recommendedMaxWorkingSetSize`` was in the logs of llama.cpp's users
    (github.com/ggml-org/llama.cpp: 2011, 1870, 3213); newer systems grant some of the smaller machines more.
    """
    return total * 2 // 3 if total < 36 * GIB else total * 3 // 4


def _limit(sysctl: Sysctl) -> int:
    """Bytes a person has set; 0 for none."""
    newer, older = (sysctl.number(name) or 0 for name in LIMITS)
    return newer * MIB or older


def _virtual_memory() -> Any:
    """``total``, ``available`` and, on this system, ``wired``."""
    import psutil

    return psutil.virtual_memory()


def _kernel() -> Sysctl:
    import ctypes

    ask = ctypes.CDLL(None).sysctlbyname

    def raw(name: str) -> bytes | None:
        size, nothing = ctypes.c_size_t(0), ctypes.c_size_t(0)
        if ask(name.encode(), None, ctypes.byref(size), None, nothing):
            return None
        buffer = ctypes.create_string_buffer(size.value)
        if ask(name.encode(), buffer, ctypes.byref(size), None, nothing):
            return None
        return buffer.raw[: size.value]

    def number(name: str) -> int | None:
        said = raw(name)
        return None if said is None else int.from_bytes(said, sys.byteorder, signed=True)

    return Sysctl(number, lambda name: (raw(name) or b"").rstrip(b"\0").decode("utf-8", "replace"))
