"""Apple's chips, by figures of the kernel that stand in. Never run on real hardware."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvml_library import compiled

from mai_backends.probes import apple
from mai_backends.probes.apple import AppleProbe, Sysctl, default_wired_limit
from mai_core.plugin.interfaces import ProbeContext
from mai_core.policy.resources import HostReading, MemoryPool, PoolKind

GIB = 1024**3


def probe(total: int, available: int, wired: int, **figures: int) -> AppleProbe:
    told = {name.replace("__", "."): value for name, value in figures.items()}
    sysctl = Sysctl(told.get, lambda name: "Apple M2 Max" if name == "machdep.cpu.brand_string" else "")
    memory = SimpleNamespace(total=total, available=available, wired=wired)
    return AppleProbe(ProbeContext(name="apple"), sysctl=lambda: sysctl, memory=lambda: memory)


def test_the_gpu_may_take_the_systems_share() -> None:
    reading = probe(64 * GIB, 50 * GIB, 4 * GIB, iogpu__wired_limit_mb=0).sample()
    assert reading == HostReading(
        pools=(MemoryPool("gpu0", PoolKind.UNIFIED, 48 * GIB, 44 * GIB, "macOS", "Apple M2 Max"),)
    )


@pytest.mark.parametrize(
    "figures",
    [{"iogpu__wired_limit_mb": 56 * 1024}, {"debug__iogpu__wired_limit": 56 * GIB}],
)
def test_a_limit_a_person_set_is_obeyed(figures: dict[str, int]) -> None:
    [pool] = probe(64 * GIB, 60 * GIB, 2 * GIB, **figures).sample().pools
    assert (pool.total, pool.available, pool.limited_by) == (56 * GIB, 54 * GIB, "iogpu.wired_limit_mb")


def test_no_more_than_main_memory_has() -> None:
    [pool] = probe(16 * GIB, 3 * GIB, 2 * GIB, iogpu__wired_limit_mb=999_999).sample().pools
    assert (pool.total, pool.available) == (16 * GIB, 3 * GIB)
    [full] = probe(16 * GIB, 3 * GIB, 13 * GIB).sample().pools
    assert full.available == 0


@pytest.mark.parametrize(
    ("total", "mib"),
    [
        (16, 10922.67),  # github.com/abetlen/llama-cpp-python/issues/687
        (32, 21845.34),  # github.com/ggml-org/llama.cpp/pull/2011
        (64, 49152.00),  # github.com/ggml-org/llama.cpp/issues/1870
        (96, 73728.00),  # github.com/ggml-org/llama.cpp/issues/3213
    ],
)
def test_the_share_is_what_metal_told_on_real_machines(total: int, mib: float) -> None:
    assert default_wired_limit(total * GIB) / 1024**2 == pytest.approx(mib, abs=0.01)


@pytest.mark.skipif(sys.platform == "darwin", reason="there the call is real")
def test_the_kernels_call_is_made_as_it_wants_to_be(tmp_path: Path) -> None:
    library = compiled("sysctl.c", tmp_path / "libmai-test-sysctl.so")
    if library is None:
        pytest.skip("no compiler here")
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    memory = SimpleNamespace(total=64 * GIB, available=60 * GIB, wired=2 * GIB)
    made = AppleProbe(ProbeContext(name="apple"), sysctl=apple._kernel, memory=lambda: memory)
    [pool] = made.sample().pools
    assert (pool.total, pool.available, pool.label) == (56 * GIB, 54 * GIB, "Apple M2 Max")


def test_figures_that_cannot_be_read_are_a_fault() -> None:
    def gone() -> Sysctl:
        raise OSError("no such call")

    reading = AppleProbe(ProbeContext(name="apple"), sysctl=gone, memory=lambda: SimpleNamespace()).sample()
    assert (reading.pools, reading.faults) == ((), ("gpu0: no such call",))


def test_on_other_machines_nothing_is_told() -> None:
    assert AppleProbe(ProbeContext(name="apple")).sample().faults == ()
