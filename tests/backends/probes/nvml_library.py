"""Two stand-ins for NVIDIA's library under the unmodified pynvml, and the machine they tell of.

``nvml.c`` is compiled and found by the dynamic linker as the driver's own would be. Where there is no compiler,
``PythonLibrary`` answers the same calls with functions of C's calling convention.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["GIB", "SONAME", "PythonLibrary", "World", "compiled"]

GIB = 1024**3
SONAME = "libnvidia-ml.so.1"
"""The name the dynamic linker and pynvml look for."""
NOT_SUPPORTED, NOT_FOUND, TOO_SMALL, NOT_LOADED, UNINITIALISED = 3, 6, 7, 9, 1


def compiled(source: str, made: Path) -> Path | None:
    """A stand-in beside this file as a shared library; None without a compiler, or where those are made otherwise."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        return None
    named = f"-Wl,-soname,{made.name}"
    command = [compiler, "-Wall", "-Werror", "-shared", "-fPIC", named, "-o", str(made)]
    subprocess.run([*command, str(Path(__file__).with_name(source))], check=True, timeout=60)
    return made


class World:
    """What the driver of a machine tells: ``tell("gpu0", total=...)`` changes it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lines: dict[str, object] = {"count": 0}
        self._write()

    def tell(self, of: str = "", **what: object) -> None:
        for name, value in what.items():
            self._lines[f"{of}.{name.replace('_error', '.error')}" if of else name.replace("_error", ".error")] = value
        self._write()

    def silence(self, of: str, *names: str) -> None:
        for name in names:
            del self._lines[f"{of}.{name}"]
        self._write()

    def card(self, index: int = 0, **what: object) -> None:
        """A card of 24 GiB with 20 free, but for ``what``."""
        self._lines["count"] = max(index + 1, int(str(self._lines.get("count", 0))))
        bus = f"00000000:{index + 1:02X}:00.0"
        self.tell(
            f"gpu{index}",
            **{"name": "NVIDIA GeForce RTX 4090", "bus": bus, "total": 24 * GIB, "free": 20 * GIB, "busy": 37} | what,
        )

    def unload(self) -> None:
        self._lines = {}
        self._write()

    @property
    def calls(self) -> list[str]:
        """Sessions opened and closed."""
        noted = Path(f"{self.file}.calls")
        return noted.read_text().split() if noted.exists() else []

    def _write(self) -> None:
        made = self.file.with_suffix(".new")
        made.write_text("".join(f"{name}={value}\n" for name, value in self._lines.items()))
        made.replace(self.file)


class PythonLibrary:
    """The calls of the library as function pointers; sizes and places of members as nvml.h has them."""

    def __init__(self) -> None:
        self._sessions = 0
        self._names: list[ctypes.Array[ctypes.c_char]] = []
        self._made: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        made = self.__dict__["_made"]
        if name not in made:
            takes, call = self._calls().get(name, ("", None))
            if call is None:
                raise AttributeError(name)
            kinds = {"n": ctypes.c_uint, "p": ctypes.c_void_p}
            made[name] = ctypes.CFUNCTYPE(ctypes.c_int, *[kinds[kind] for kind in takes])(call)
        return made[name]

    def _calls(self) -> dict[str, tuple[str, Callable[..., int]]]:
        """Each call by name, with what it takes: numbers and pointers."""
        return {
            "nvmlInitWithFlags": ("n", self._open),
            "nvmlShutdown": ("", self._close),
            "nvmlDeviceGetCount_v2": ("p", lambda to: self._put(to, "I", "", "count")),
            "nvmlDeviceGetHandleByIndex_v2": ("np", lambda index, to: self._handle(f"gpu{index or 0}", to)),
            "nvmlDeviceGetName": ("ppn", lambda of, to, size: self._text(of, "name", to, 0)),
            "nvmlDeviceGetPciInfo_v3": ("pp", lambda of, to: self._text(of, "bus", to, 36)),
            "nvmlDeviceGetMemoryInfo": ("pp", self._memory),
            "nvmlDeviceGetUtilizationRates": ("pp", lambda of, to: self._put(to, "I", self._of(of), "busy")),
            "nvmlDeviceGetComputeRunningProcesses_v3": ("ppp", lambda *args: self._processes("compute", *args)),
            "nvmlDeviceGetGraphicsRunningProcesses_v3": ("ppp", lambda *args: self._processes("graphics", *args)),
            "nvmlDeviceGetMigMode": ("ppp", lambda of, to, _: self._mig(of, to)),
            "nvmlDeviceGetMaxMigDeviceCount": ("pp", lambda of, to: self._put(to, "I", self._of(of), "mig")),
            "nvmlDeviceGetMigDeviceHandleByIndex": ("pnp", self._partition),
        }

    def _world(self) -> dict[str, str]:
        path = os.environ.get("NVML_WORLD")
        lines = Path(path).read_text().splitlines() if path else []
        return dict(line.split("=", 1) for line in lines)

    def _ask(self, of: str, what: str) -> tuple[int, str | None]:
        world = self._world()
        told = world.get(f"{of}.{what}" if of else what)
        prefix = f"{of}." if of else ""
        error = int(world.get(f"{prefix}error", 0)) or int(world.get(f"{prefix}{what}.error", 0))
        if not self._sessions:
            return UNINITIALISED, None
        return (error, told) if told is not None else (error or NOT_SUPPORTED, None)

    def _of(self, handle: int) -> str:
        return ctypes.string_at(handle).decode()

    def _note(self, call: str) -> None:
        if (world := os.environ.get("NVML_WORLD")) is not None:
            with Path(f"{world}.calls").open("a") as file:
                file.write(f"{call}\n")

    def _open(self, flags: int) -> int:
        world = self._world()
        if (error := int(world.get("init.error", 0)) if "count" in world else NOT_LOADED) == 0:
            self._sessions += 1
            self._note("open")
        return error

    def _close(self) -> int:
        self._sessions -= 1
        self._note("close")
        return 0

    def _put(self, to: int, form: str, of: str, what: str) -> int:
        error, told = self._ask(of, what)
        ctypes.memmove(to, packed := struct.pack(form, int(told or 0)), len(packed))
        return error

    def _text(self, handle: int, what: str, to: int, offset: int) -> int:
        error, told = self._ask(self._of(handle), what)
        ctypes.memmove(to + offset, said := (told or "").encode() + b"\0", len(said))
        return error

    def _handle(self, name: str, to: int) -> int:
        self._names.append(ctypes.create_string_buffer(name.encode()))
        ctypes.memmove(to, struct.pack("P", ctypes.addressof(self._names[-1])), struct.calcsize("P"))
        error, _ = self._ask(name, "handle")
        return 0 if error == NOT_SUPPORTED else error

    def _memory(self, handle: int, to: int) -> int:
        of = self._of(handle)
        error, total = self._ask(of, "total")
        free = self._ask(of, "free")[1] or 0
        used = self._ask(of, "used")[1] or int(total or 0) - int(free)
        sizes = struct.pack("QQQ", *(int(size or 0) % 2**64 for size in (total, free, used)))
        ctypes.memmove(to, sizes, len(sizes))
        return error or int(self._world().get(f"{of}.memory.error", 0))

    def _processes(self, kind: str, handle: int, count: int, to: int | None) -> int:
        error, told = self._ask(self._of(handle), kind)
        listed = [one.split(":") for one in (told or "").split(",") if one]
        room = ctypes.c_uint.from_address(count)
        if error in (0, NOT_SUPPORTED) and to:
            for number, (pid, size) in enumerate(listed[: room.value]):
                entry = struct.pack("IxxxxQII", int(pid), int(size), 0xFFFFFFFF, 0xFFFFFFFF)
                ctypes.memmove(to + number * len(entry), entry, len(entry))
        full, room.value = len(listed) > room.value, len(listed)
        return TOO_SMALL if full else 0 if error == NOT_SUPPORTED else error

    def _mig(self, handle: int, to: int) -> int:
        error, told = self._ask(self._of(handle), "mig")
        ctypes.memmove(to, struct.pack("I", told is not None), 4)
        return error

    def _partition(self, handle: int, index: int | None, to: int) -> int:
        name = f"{self._of(handle)}.{index or 0}"
        self._handle(name, to)
        return 0 if f"{name}.name" in self._world() else NOT_FOUND
