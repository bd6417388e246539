"""How many bytes a model may take, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.policy.models import Footprint, LoadedModel, ModelProfile
from mai_core.policy.resources import Host, MemoryPool, PoolKind
from mai_core.policy.situation import Limits, Situation

__all__ = ["Room", "headroom", "room_for", "spendable"]


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes a model may take: of main memory, and of the roomiest ``device`` of its host, empty when there is none.

    The totals are of all the memory there is, so that what is left can be told as a share.
    """

    ram: int
    ram_total: int
    device: str = ""
    on_device: int = 0
    device_total: int = 0

    def spare(self, footprint: Footprint) -> float:
        """The share of the tightest pool that is left beside a model; below 0 when it does not fit."""
        main = (self.ram - footprint.ram) / max(1, self.ram_total)
        if not footprint.devices:
            return main
        return min(main, (self.on_device - sum(footprint.devices.values())) / max(1, self.device_total))


def headroom(host: Host, limits: Limits) -> int:
    """Bytes of main memory that stay free for everything else; never more than a quarter of a small machine."""
    return _kept_free(host.ram.total if host.ram else 0, limits)


def spendable(host: Host, loaded: Sequence[LoadedModel], limits: Limits) -> int:
    """Bytes of main memory a model may take on ``host``: what is free, plus what replacing idle models returns.

    Only anonymous memory is credited: mapped weights already count as available to whoever needs them.
    """
    pool = host.ram
    if pool is None:
        return 0
    credit = sum(m.footprint.anonymous for m in _replaceable(host, loaded))
    return pool.available + credit - headroom(host, limits)


def room_for(model: ModelProfile, host: Host, pool: MemoryPool, situation: Situation) -> Room:
    """What ``model`` may take on its host, ``pool`` being its main memory, beside what other loads were promised."""
    limits, loaded = situation.limits, situation.loaded
    promised = [p.footprint for p in situation.promised if p.host == model.host and p.model != model.key and p.firm]
    ram = spendable(host, loaded, limits) - sum(footprint.ram for footprint in promised)
    devices = [p for p in host.pools if p.kind is PoolKind.DEVICE and model.offload]
    device = max(devices, key=lambda p: p.available, default=None)
    if device is None:
        return Room(ram, pool.total)
    credit = sum(m.footprint.devices.get(device.name, 0) for m in _replaceable(host, loaded))
    taken = sum(footprint.devices.get(device.name, 0) for footprint in promised)
    on_device = device.available + credit - taken - _kept_free(device.total, limits)
    return Room(ram, pool.total, device.name, on_device, device.total)


def _replaceable(host: Host, loaded: Sequence[LoadedModel]) -> list[LoadedModel]:
    return [m for m in loaded if m.host == host.name and m.owned and not m.leased]


def _kept_free(total: int, limits: Limits) -> int:
    wanted = min(limits.headroom_max, max(limits.headroom_min, int(limits.headroom * total)))
    return min(wanted, total // 4)
