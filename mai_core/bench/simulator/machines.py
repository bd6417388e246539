"""Machines people have: what probes show of them, and what they can really do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mai_core.policy.resources import PoolKind
from mai_core.policy.speed import Machine

__all__ = ["MACHINES", "Gpu", "MachineSpec"]

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A processor with memory of its own, or a ``UNIFIED`` one that may take ``total`` bytes of main memory.

    ``kept`` is the share its driver and the screen hold from the start.
    """

    name: str = "gpu0"
    kind: PoolKind = PoolKind.DEVICE
    total: int
    kept: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """A machine. Rates are what engines reach on it, about three quarters of what the makers state.

    ram       bytes of main memory, ``system`` the share of it that is taken before anybody starts a program
    disk      bytes a second weights are read with
    power     watts drawn more while a model works than while nothing does
    """

    name: str
    ram: int
    cores: int
    bytes_per_second: float
    flops_per_core: float = 45e9
    device_bytes_per_second: float = 150e9
    device_flops: float = 5e12
    disk: float
    power: float
    gpus: tuple[Gpu, ...] = ()
    system: float = 0.10

    @property
    def speed(self) -> Machine:
        """What it can do, in the terms the core has for that."""
        return Machine(
            bytes_per_second=self.bytes_per_second,
            flops_per_core=self.flops_per_core,
            device_bytes_per_second=self.device_bytes_per_second,
            device_flops=self.device_flops,
        )


def _gpus(count: int, gigabytes: int) -> tuple[Gpu, ...]:
    return tuple(Gpu(name=f"gpu{i}", total=gigabytes * GIB) for i in range(count))


def _unified(gigabytes: float) -> tuple[Gpu, ...]:
    return (Gpu(kind=PoolKind.UNIFIED, total=int(gigabytes * GIB), kept=0.0),)


_ALL = (
    MachineSpec(name="laptop-8gb", ram=8 * GIB, cores=4, bytes_per_second=28e9, disk=0.8e9, power=20.0, system=0.15),
    MachineSpec(
        name="laptop-16gb-igpu",
        ram=16 * GIB,
        cores=8,
        bytes_per_second=50e9,
        device_bytes_per_second=60e9,
        device_flops=1.5e12,
        disk=1.5e9,
        power=30.0,
        gpus=_unified(8),
    ),
    MachineSpec(
        name="desktop-gpu-8gb",
        ram=16 * GIB,
        cores=8,
        bytes_per_second=40e9,
        device_bytes_per_second=200e9,
        device_flops=12e12,
        disk=2e9,
        power=160.0,
        gpus=_gpus(1, 8),
    ),
    MachineSpec(
        name="desktop-gpu-12gb",
        ram=32 * GIB,
        cores=8,
        bytes_per_second=45e9,
        device_bytes_per_second=280e9,
        device_flops=20e12,
        disk=2.5e9,
        power=200.0,
        gpus=_gpus(1, 12),
    ),
    MachineSpec(
        name="desktop-gpu-24gb",
        ram=64 * GIB,
        cores=16,
        bytes_per_second=60e9,
        device_bytes_per_second=750e9,
        device_flops=60e12,
        disk=3e9,
        power=380.0,
        gpus=_gpus(1, 24),
    ),
    MachineSpec(
        name="workstation-2-gpus",
        ram=128 * GIB,
        cores=24,
        bytes_per_second=120e9,
        device_bytes_per_second=700e9,
        device_flops=60e12,
        disk=4e9,
        power=650.0,
        gpus=_gpus(2, 24),
        system=0.05,
    ),
    MachineSpec(
        name="mac-16gb",
        ram=16 * GIB,
        cores=8,
        bytes_per_second=70e9,
        device_bytes_per_second=85e9,
        device_flops=2.5e12,
        disk=2.5e9,
        power=22.0,
        gpus=_unified(16 * 2 / 3),
        system=0.18,
    ),
    MachineSpec(
        name="mac-64gb",
        ram=64 * GIB,
        cores=12,
        bytes_per_second=200e9,
        device_bytes_per_second=330e9,
        device_flops=10e12,
        disk=5e9,
        power=55.0,
        gpus=_unified(48),
        system=0.08,
    ),
    MachineSpec(
        name="server",
        ram=128 * GIB,
        cores=32,
        bytes_per_second=140e9,
        disk=2e9,
        power=220.0,
        system=0.05,
    ),
)

MACHINES: Mapping[str, MachineSpec] = MappingProxyType({machine.name: machine for machine in _ALL})
"""By name, the smallest first."""
