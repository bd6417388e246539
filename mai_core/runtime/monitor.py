"""Samples the probes, each in a thread of its own: the latest snapshot is always at hand."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from mai_core.plugin.interfaces import ClosableProbe, ResourceProbe
from mai_core.policy.feasibility import Limits
from mai_core.policy.resources import Cpu, Host, HostReading, MemoryPool, Pressure, ResourceSnapshot
from mai_core.policy.trouble import in_trouble
from mai_core.policy.trust import Known, judged
from mai_core.settings.model import MonitorSettings

__all__ = ["Monitor", "merge"]

log = logging.getLogger("mai.monitor")


class Monitor:
    """The state of all machines the probes know.

    A probe that hangs keeps its own thread busy and nobody else's; once it has been waited for in vain it is not
    waited for again. What it said last is dropped, and it is named in ``faults`` until it answers. What cannot be true
    of what it says is left out: see ``trust``.
    """

    def __init__(
        self,
        probes: Sequence[ResourceProbe],
        settings: MonitorSettings,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._clock = clock
        self._watches = [_Watch(probe, settings.interval_seconds, clock) for probe in probes]
        self._troubled: dict[str, bool] = {}
        self._last_trouble = float("-inf")
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin sampling in the background."""
        for watch in self._watches:
            watch.start()

    def close(self) -> None:
        """Stop sampling. Each probe is closed in its own thread; threads that hang are abandoned: they are daemons."""
        for watch in self._watches:
            watch.stop()

    def refresh(self) -> ResourceSnapshot:
        """Sample every probe now, waiting at most the configured time for all of them together.

        For one that is late already nobody waits: its last reading counts until it is stale.
        """
        deadline = self._clock() + self._settings.probe_timeout_seconds
        rounds = [(watch, watch.ask()) for watch in self._watches]
        for watch, round_ in rounds:
            watch.wait(round_, max(0.0, deadline - self._clock()))
        return self.latest()

    def latest(self) -> ResourceSnapshot:
        """The newest readings, merged. Never waits."""
        now = self._clock()
        stale = 3 * self._settings.interval_seconds + self._settings.probe_timeout_seconds
        readings = [r for watch in self._watches if (r := watch.reading(now - stale)) is not None]
        hosts = merge(readings)
        with self._lock:
            for host in hosts:
                was = self._troubled.get(host.name, False)
                troubled = in_trouble(host, was, self._limits, self._settings.pressure_full)
                if troubled != was:
                    log.warning("memory trouble %s", "began" if troubled else "ended", extra={"host": host.name})
                self._troubled[host.name] = troubled
                if troubled:
                    self._last_trouble = now
            return ResourceSnapshot(hosts, now, now - self._last_trouble)

    @property
    def faults(self) -> tuple[str, ...]:
        """One line for every probe that fails or hangs now, and for every sensor that is left out."""
        since = self._clock() - 3 * self._settings.interval_seconds - self._settings.probe_timeout_seconds
        return tuple(fault for watch in self._watches for fault in watch.faults(since))


def merge(readings: Sequence[HostReading]) -> tuple[Host, ...]:
    """One host from everything the probes said of it; the first to name a pool or a figure is believed."""
    by_host: dict[str, list[HostReading]] = {}
    for reading in readings:
        by_host.setdefault(reading.host, []).append(reading)
    return tuple(_merge_host(name, parts) for name, parts in by_host.items())


def _merge_host(name: str, parts: list[HostReading]) -> Host:
    pools: dict[str, MemoryPool] = {}
    for part in parts:
        for pool in part.pools:
            pools.setdefault(pool.name, pool)
    swap = next((p for p in parts if p.swap_total), HostReading())
    return Host(
        name=name,
        pools=tuple(pools.values()),
        cpu=next((p.cpu for p in parts if p.cpu), Cpu(1)),
        pressure=next((p.pressure for p in parts if p.pressure), Pressure()),
        battery=next((p.battery for p in parts if p.battery), None),
        swap_total=swap.swap_total,
        swap_free=swap.swap_free,
        power=next((p.power for p in parts if p.power), None),
    )


class _Watch:
    """One probe and the thread that samples it."""

    def __init__(self, probe: ResourceProbe, interval: float, clock: Callable[[], float]) -> None:
        self._probe = probe
        self._interval = interval
        self._clock = clock
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self._stopped = self._late = self._heard = False
        self._reading: HostReading | None = None
        self._known = Known()
        self._read_at = clock()
        self._faults: tuple[str, ...] = ()

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"mai-probe-{self._probe.name}", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def ask(self) -> int:
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def wait(self, round_: int, seconds: float) -> None:
        with self._changed:
            if not self._late:
                in_time = self._changed.wait_for(lambda: self._answered >= round_ or self._stopped, timeout=seconds)
                self._late = not in_time

    def reading(self, since: float) -> HostReading | None:
        with self._changed:
            return self._reading if self._read_at >= since else None

    def faults(self, since: float) -> tuple[str, ...]:
        with self._changed:
            silent = self._read_at < since or (self._late and not self._heard)
            if silent and not self._faults:
                return (f"{self._probe.name}: does not answer",)
            return tuple(f"{self._probe.name}: {fault}" for fault in self._faults)

    def _run(self) -> None:
        while not self._stopped:
            serving = self._asked
            reading, faults = self._sample()
            with self._changed:
                told = {_sensor(fault) for fault in self._faults}
                for fault in faults:
                    if _sensor(fault) not in told:
                        log.warning("sensor left out", extra={"probe": self._probe.name, "fault": fault})
                now = self._clock()
                self._reading, self._faults = self._smoothed(reading, now), faults
                self._read_at = now
                self._answered = serving
                self._late, self._heard = False, True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self._asked > self._answered, timeout=self._interval)
        self._close()

    def _close(self) -> None:
        if not isinstance(self._probe, ClosableProbe):
            return
        try:
            self._probe.close()
        except Exception as error:  # noqa: BLE001 - a third party's sensor; nothing depends on it any more
            log.warning("probe did not close", extra={"probe": self._probe.name, "error": str(error)})

    def _smoothed(self, reading: HostReading | None, now: float) -> HostReading | None:
        if reading is None or reading.cpu is None:
            return reading
        before = self._reading.cpu if self._reading is not None else None
        return replace(reading, cpu=reading.cpu.smoothed(before, now - self._read_at))

    def _sample(self) -> tuple[HostReading | None, tuple[str, ...]]:
        try:
            reading = self._probe.sample()
            if isinstance(reading, HostReading):
                self._known, reading = judged(self._known, reading)
                return reading, reading.faults
        except Exception as error:  # noqa: BLE001 - a third party's sensor; it is named and left out
            return None, (f"{type(error).__name__}: {error}",)
        if inspect.iscoroutine(reading):
            reading.close()
            return None, ("sample is async; it has to be a plain function",)
        return None, (f"answered {type(reading).__name__}, not a HostReading",)


def _sensor(fault: str) -> str:
    """What a fault speaks of: the figures in it may differ from sample to sample."""
    return fault.partition(":")[0]
