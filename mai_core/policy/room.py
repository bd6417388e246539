"""How many bytes a model may take, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.policy.models import Footprint, LoadedModel, ModelProfile
from mai_core.policy.remembering import remembered
from mai_core.policy.resources import Host, MemoryPool, PoolKind
from mai_core.policy.situation import Limits, Situation

__all__ = ["DeviceRoom", "Room", "headroom", "room_for", "spendable"]

REMEMBERED = 16
"""Rooms that are kept: all models of one decision share a few."""


@dataclass(frozen=True, slots=True)
class DeviceRoom:
    """Bytes a model may take of a GPU's memory, of ``total``; with ``shared`` they are gone from main memory, too."""

    name: str
    free: int
    total: int
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes a model may take: of main memory, how much of that may be ``anonymous``, and of the devices it can use.

    The totals are of all the memory there is, so that what is left can be told as a share.
    """

    ram: int
    ram_total: int
    anonymous: int
    devices: tuple[DeviceRoom, ...] = ()

    @classmethod
    def of(
        cls, pool: MemoryPool, host: Host, *, kept: float = 0.0, least: int = 0, most: int = 0, offload: bool = True
    ) -> Room:
        """All that is free on a host whose main memory is ``pool``, but for a share ``kept`` of every pool.

        The share is between ``least`` and ``most`` bytes, and never more than a quarter of a pool. Beside GPUs with
        memory of their own, one that shares main memory is of no use.
        """

        def spared(total: int) -> int:
            return _kept_free(total, kept, least, most)

        gpus = [p for p in host.pools if p is not pool and p.kind is not PoolKind.RAM and offload]
        own = [p for p in gpus if p.kind is PoolKind.DEVICE]
        devices = [
            DeviceRoom(p.name, p.available - spared(p.total), p.total, p.kind is PoolKind.UNIFIED) for p in own or gpus
        ]
        free = spared(pool.total)
        return cls(pool.available - free, pool.total, pool.anonymous_available - free, tuple(devices))

    def spare(self, footprint: Footprint) -> float:
        """The share of the tightest pool that is left beside a model; below 0 when it does not fit."""
        room = {device.name: device for device in self.devices}
        left, shared = 1.0, 0
        for name, size in footprint.devices.items():
            device = room.get(name)
            if device is None:
                return -1.0
            shared += size if device.shared else 0
            left = min(left, (device.free - size) / max(1, device.total))
        ram = max(1, self.ram_total)
        anonymous = (self.anonymous - footprint.anonymous - shared) / ram
        return min(left, anonymous, (self.ram - footprint.ram - shared) / ram)


def headroom(host: Host, limits: Limits) -> int:
    """Bytes of main memory that stay free for everything else; never more than a quarter of a small machine."""
    total = host.ram.total if host.ram else 0
    return _kept_free(total, limits.headroom, limits.headroom_min, limits.headroom_max)


def _kept_free(total: int, share: float, least: int, most: int) -> int:
    """A share of a pool of ``total`` bytes, between two bounds and never more than a quarter of it."""
    return min(min(most, max(least, int(share * total))), total // 4)


def spendable(host: Host, loaded: Sequence[LoadedModel], limits: Limits) -> int:
    """Bytes of main memory a model may take on ``host``: what is free, plus what replacing idle models returns.

    Of main memory only what is anonymous, or held through a GPU that shares it, is credited: mapped weights already
    count as available to whoever needs them.
    """
    pool = host.ram
    if pool is None:
        return 0
    credit = sum(m.footprint.anonymous + _shared(m.footprint, host) for m in _replaceable(host, loaded))
    return pool.available + credit - headroom(host, limits)


def room_for(model: ModelProfile, situation: Situation) -> Room:
    """What ``model`` may take on its host, whose main memory is known, beside what other loads were promised.

    Idle models of Mai's count as gone, with what they hold of main memory through a GPU that shares it.
    """
    own = model.key if any(promise.model == model.key for promise in situation.promised) else ""
    return _room_on(situation, model.host, model.offload, own)


@remembered(REMEMBERED)
def _room_on(situation: Situation, name: str, offload: bool, own: str) -> Room:
    """The room on a host for a model that is promised memory as ``own``; all others there have the same."""
    limits, host = situation.limits, situation.snapshot.host(name)
    assert host is not None
    pool = host.ram
    assert pool is not None
    kept, least, most = limits.headroom, limits.headroom_min, limits.headroom_max
    free = Room.of(pool, host, kept=kept, least=least, most=most, offload=offload)
    theirs = [p.footprint for p in situation.promised if p.host == name and p.model != own and p.firm]
    idle = [m.footprint for m in _replaceable(host, situation.loaded)]
    credit = sum(f.anonymous + _shared(f, host) for f in idle)
    shared = sum(_shared(f, host) for f in theirs)
    return Room(
        free.ram + credit - shared - sum(f.ram for f in theirs),
        free.ram_total,
        free.anonymous + credit - shared - sum(f.anonymous for f in theirs),
        tuple(
            DeviceRoom(
                d.name,
                d.free + sum(f.devices.get(d.name, 0) for f in idle) - sum(f.devices.get(d.name, 0) for f in theirs),
                d.total,
                d.shared,
            )
            for d in free.devices
        ),
    )


def _shared(footprint: Footprint, host: Host) -> int:
    """Bytes of main memory a model holds through GPUs that share it."""
    if not footprint.devices:
        return 0
    return sum(footprint.devices.get(p.name, 0) for p in host.pools if p.kind is PoolKind.UNIFIED and p is not host.ram)


def _replaceable(host: Host, loaded: Sequence[LoadedModel]) -> list[LoadedModel]:
    return [m for m in loaded if m.host == host.name and m.owned and not m.leased]
