"""The NVIDIA driver's own library, as plain values. Nothing of it is loaded before a session is opened.

See NVIDIA's NVML API reference. Where no driver is installed this costs a failed look for a library, no import.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mai_backends.probes.kernel import Lie
from mai_backends.probes.sensors import Sensors

__all__ = ["DriverFault", "Gpu", "Session", "open_session"]

# By its plain name the dynamic linker finds it where distributions put it; WSL2 and NixOS keep it elsewhere.
LIBRARIES = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1", "/run/opengl-driver/lib/libnvidia-ml.so.1")
REMEDIES = {
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": "the driver was updated while it ran; restart the machine",
    "NVML_ERROR_GPU_IS_LOST": "it fell off the bus; restart the machine",
    "NVML_ERROR_RESET_REQUIRED": "it needs a reset; restart the machine",
    "NVML_ERROR_NO_PERMISSION": "this person may not ask the driver",
}


class DriverFault(RuntimeError):
    """The driver is there and refused."""


class _NotOffered(DriverFault):
    """This GPU or this driver does not tell that, or has no such part."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or a partition of one, as the driver tells. ``total`` is None where it has no memory of its own.

    ``bus`` is its address as sysfs writes it, ``holders`` the bytes processes hold by process id.
    """

    name: str
    label: str
    bus: str
    total: int | None
    free: int
    busy: float | None
    holders: dict[int, int]


def open_session() -> Session | None:
    """A session with the driver; None where there is no driver or it drives nothing. Raises ``DriverFault``."""
    if not _is_installed():
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        absent = (
            pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
            pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
            pynvml.NVML_ERROR_GPU_NOT_FOUND,
        )
        if error.value in absent:
            return None
        raise _fault(error) from error
    return Session(pynvml)


def _is_installed() -> bool:
    if sys.platform == "win32":
        windows = Path(os.environ.get("WINDIR", "C:/Windows"), "System32/nvml.dll")
        programs = Path(os.environ.get("PROGRAMFILES", "C:/Program Files"), "NVIDIA Corporation/NVSMI/nvml.dll")
        return windows.exists() or programs.exists()
    if sys.platform != "linux":
        return False
    import ctypes

    for library in LIBRARIES:
        try:
            # Stays loaded: by its name pynvml then gets the very same one, wherever it was found.
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False


class Session:
    """An open door to the driver. Calls take up to milliseconds each, and may hang when the hardware does."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def close(self) -> None:
        """Close the door; a driver that is gone by then is no fault."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return

    def gpus(self, sensors: Sensors) -> list[Gpu]:
        """Every GPU that answers, its partitions in its place; ``sensors`` gets the others. Raises ``DriverFault``."""
        found: list[Gpu] = []
        for index in range(self._told(self._nvml.nvmlDeviceGetCount)):
            name = f"gpu{index}"
            for part, device, bus in sensors.ask(name, partial(self._parts, index, name)) or ():
                gpu = sensors.ask(part, partial(self._read, device, part, bus))
                found += [gpu] if gpu is not None else []
        return found

    def _parts(self, index: int, name: str) -> list[tuple[str, Any, str]]:
        """Name, handle and address of a GPU, or of each of its partitions: divided, it has no memory to itself."""
        device = self._told(self._nvml.nvmlDeviceGetHandleByIndex, index)
        bus = self._bus(device)
        if not self._is_partitioned(device):
            return [(name, device, bus)]
        most = self._told(self._nvml.nvmlDeviceGetMaxMigDeviceCount, device)
        handle = self._nvml.nvmlDeviceGetMigDeviceHandleByIndex
        parts = ((f"{name}.{number}", self._told_if_offered(handle, device, number), bus) for number in range(most))
        return [part for part in parts if part[1] is not None]

    def _is_partitioned(self, device: Any) -> bool:
        mode = self._told_if_offered(self._nvml.nvmlDeviceGetMigMode, device)
        return mode is not None and mode[0] == self._nvml.NVML_DEVICE_MIG_ENABLE

    def _bus(self, device: Any) -> str:
        info = self._told_if_offered(self._nvml.nvmlDeviceGetPciInfo, device)
        if info is None:
            return ""
        said = info.busId
        domain, _, rest = (said.decode() if isinstance(said, bytes) else str(said)).lower().partition(":")
        return f"{domain[-4:]}:{rest}"

    def _read(self, device: Any, name: str, bus: str) -> Gpu:
        total, free = self._memory(device)
        if total is None and "." in name:
            # Only a whole chip can work in main memory: of a partition that tells nothing, nothing is known.
            raise Lie("it does not tell its memory")
        busy = self._told_if_offered(self._nvml.nvmlDeviceGetUtilizationRates, device)
        if busy is not None and not 0 <= busy.gpu <= 100:
            raise Lie(f"busy for {busy.gpu} percent of the time")
        label = self._told(self._nvml.nvmlDeviceGetName, device)
        return Gpu(name, label, bus, total, free, busy.gpu / 100 if busy else None, self._holders(device))

    def _memory(self, device: Any) -> tuple[int | None, int]:
        """Bytes there are and bytes free; none of its own on chips whose GPU works in main memory."""
        # The first version counts what the driver reserves as used, the second apart; both tell what is free.
        said = self._told_if_offered(self._nvml.nvmlDeviceGetMemoryInfo, device)
        if said is None or not said.total:
            return None, 0
        if said.free > said.total:
            raise Lie(f"{said.free} of {said.total} bytes free")
        if said.used > said.total:
            raise Lie(f"{said.used} of {said.total} bytes used")
        return said.total, said.free

    def _holders(self, device: Any) -> dict[int, int]:
        """One that computes and draws is told by both lists, with all it holds."""
        held: dict[int, int] = {}
        for listed in (
            self._nvml.nvmlDeviceGetComputeRunningProcesses,
            self._nvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for process in self._told_if_offered(listed, device) or []:
                held[process.pid] = max(held.get(process.pid, 0), process.usedGpuMemory or 0)
        return held

    def _told(self, ask: Callable[..., Any], *about: Any) -> Any:
        try:
            return ask(*about)
        except self._nvml.NVMLError as error:
            raise _fault(error) from error

    def _told_if_offered(self, ask: Callable[..., Any], *about: Any) -> Any:
        try:
            return self._told(ask, *about)
        except _NotOffered:
            return None


def _fault(error: Any) -> DriverFault:
    import pynvml

    if error.value in (
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    ):
        return _NotOffered(f"the NVIDIA driver says: {error}")
    remedy = next((words for name, words in REMEDIES.items() if getattr(pynvml, name) == error.value), "")
    return DriverFault(f"the NVIDIA driver says: {error}" + (f" → {remedy}" if remedy else ""))
