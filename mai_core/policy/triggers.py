"""What changed on the machines so that the choice of model deserves another look, told apart from noise.

Every change has two thresholds or has to last, so a figure that wavers says nothing: over any sequence of looks a host
begins trouble and ends it by turns, and every other event of one kind is at least its own duration apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mai_core.policy.resources import Host, ResourceSnapshot
from mai_core.policy.situation import Limits
from mai_core.policy.trouble import in_trouble

__all__ = ["Event", "Trigger", "WatchRules", "Watched", "look"]


class Trigger(StrEnum):
    """What happened.

    trouble-began   memory is short, or all work waits for it (see ``trouble``)
    trouble-lasts   it still is; told again and again
    trouble-ended   it is no longer, which may not last
    calm            it has been over for so long that the way up may be climbed
    roomier         other programs left memory and did not take it back
    unplugged, plugged   the battery is drawn on, or no longer
    busy, free      the processor has been busy for long, or has been free again for as long
    """

    TROUBLE_BEGAN = "trouble-began"
    TROUBLE_LASTS = "trouble-lasts"
    TROUBLE_ENDED = "trouble-ended"
    CALM = "calm"
    ROOMIER = "roomier"
    UNPLUGGED = "unplugged"
    PLUGGED = "plugged"
    BUSY = "busy"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on a host."""

    trigger: Trigger
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRules:
    """How much has to change, and for how long, until it is told.

    limits          what counts as short of memory; ``limits.up_after_seconds`` is calm
    pressure_full   as in ``trouble.in_trouble``
    lasts_seconds   between two reminders of a trouble that goes on
    roomier_share   share of main memory that has to come free to be told
    settles_seconds a battery is plugged in or out for, until it is believed
    busy_above, free_below, busy_seconds   shares of the processor, and for how long
    """

    limits: Limits = field(default_factory=Limits)
    pressure_full: float = 0.10
    lasts_seconds: float = 10.0
    roomier_share: float = 0.05
    settles_seconds: float = 4.0
    busy_above: float = 0.85
    free_below: float = 0.50
    busy_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class _Latch:
    """A state that changes only when the opposite has been seen for long enough."""

    on: bool = False
    against_since: float | None = None

    def fed(self, seen: bool | None, now: float, seconds: float) -> _Latch:
        """The latch after another look; None says nothing for or against."""
        if seen is None or seen is self.on:
            return _Latch(self.on)
        since = now if self.against_since is None else self.against_since
        return _Latch(seen) if now - since >= seconds else _Latch(self.on, since)


@dataclass(frozen=True, slots=True)
class _HostState:
    """``told_at`` is when its trouble was told last, ``restless_at`` when it was seen last, until calm is told."""

    troubled: bool = False
    told_at: float = 0.0
    restless_at: float | None = None
    level: int | None = None
    roomier: _Latch = _Latch()
    battery: _Latch = _Latch()
    busy: _Latch = _Latch()


Watched = Mapping[str, _HostState]
"""What is remembered between two looks, by host; empty at first."""


def look(before: Watched, snapshot: ResourceSnapshot, rules: WatchRules) -> tuple[Watched, Sequence[Event]]:
    """What has happened since the last look, and what to remember for the next.

    A host seen for the first time tells nothing but trouble. One that is not seen is remembered as it was.
    """
    after, events = dict(before), []
    for host in snapshot.hosts:
        state = before.get(host.name)
        if state is None:
            unplugged = host.battery is not None and not host.battery.plugged
            state = _HostState(battery=_Latch(unplugged))
        changed = _looked_at(state, host, snapshot.taken_at, rules)
        events += [Event(trigger, host.name) for trigger in _told(state, changed, snapshot.taken_at)]
        after[host.name] = changed
    return after, events


def _looked_at(state: _HostState, host: Host, now: float, rules: WatchRules) -> _HostState:
    troubled = in_trouble(host, state.troubled, rules.limits, rules.pressure_full)
    told_at, restless_at = state.told_at, state.restless_at
    if troubled and (not state.troubled or now - told_at >= rules.lasts_seconds):
        told_at = now
    if troubled:
        restless_at = now
    elif restless_at is not None and now - restless_at >= rules.limits.up_after_seconds:
        restless_at = None
    level, roomier = _memory(state, host, now, rules)
    unplugged = None if host.battery is None else not host.battery.plugged
    busy = host.cpu.busy
    seen_busy = True if busy >= rules.busy_above else False if busy <= rules.free_below else None
    return replace(
        state,
        troubled=troubled,
        told_at=told_at,
        restless_at=restless_at,
        level=level,
        roomier=roomier,
        battery=state.battery.fed(unplugged, now, rules.settles_seconds),
        busy=state.busy.fed(seen_busy, now, rules.busy_seconds),
    )


def _memory(state: _HostState, host: Host, now: float, rules: WatchRules) -> tuple[int | None, _Latch]:
    """The level memory has to rise above, which falls at once and rises only when it is told; and whether it has."""
    if host.ram is None:
        return state.level, _Latch()
    available = host.ram.available
    level = available if state.level is None else min(state.level, available)
    risen = available >= level + rules.roomier_share * host.ram.total
    latch = _Latch(False, state.roomier.against_since).fed(risen, now, rules.limits.up_after_seconds)
    return (available if latch.on else level), latch


def _told(before: _HostState, after: _HostState, now: float) -> Iterator[Trigger]:
    if after.troubled:
        if not before.troubled:
            yield Trigger.TROUBLE_BEGAN
        elif after.told_at == now and before.told_at != now:
            yield Trigger.TROUBLE_LASTS
    elif before.troubled:
        yield Trigger.TROUBLE_ENDED
    if before.restless_at is not None and after.restless_at is None:
        yield Trigger.CALM
    if after.roomier.on and not after.troubled:
        yield Trigger.ROOMIER
    if after.battery.on is not before.battery.on:
        yield Trigger.UNPLUGGED if after.battery.on else Trigger.PLUGGED
    if after.busy.on is not before.busy.on:
        yield Trigger.BUSY if after.busy.on else Trigger.FREE
