"""NVIDIA's driver as stand-ins."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from nvml_library import SONAME, PythonLibrary, World, compiled

from mai_backends.probes import nvml


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return compiled("nvml.c", tmp_path_factory.mktemp("nvml") / SONAME)


@pytest.fixture(params=["compiled", "python"])
def driver(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvml_library: Path | None
) -> World:
    """A driver without a card, under the real pynvml."""
    pynvml = pytest.importorskip("pynvml")
    world = World(tmp_path / "world")
    monkeypatch.setenv("NVML_WORLD", str(world.file))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    if request.param == "python":
        monkeypatch.setattr(nvml, "LIBRARIES", ("libc.so.6",))
        monkeypatch.setattr(pynvml, "nvmlLib", PythonLibrary())
        return world
    if nvml_library is None:
        pytest.skip("no compiler here")
    # Loaded already, it is what the linker finds by the name of the driver's own; unasked, it is no driver to others.
    ctypes.CDLL(str(nvml_library))
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    return world
