"""The laws every resource probe keeps."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.plugin.interfaces import ResourceProbe
from mai_core.plugin.shape import KINDS, misfit
from mai_core.policy.resources import HostReading
from mai_core.policy.trust import Known, judged
from mai_core.testing.conformance.lies import lies, other_units

__all__ = ["ProbeConformance"]


class ProbeConformance:
    """Subclass it as ``TestMine`` and override ``make``, and ``broken`` where your sensors can be broken in a test."""

    limit_seconds = 1.0
    """A sample that takes longer is left out of a snapshot by the default settings."""

    def make(self) -> ResourceProbe:
        """A fresh probe, as settings would construct it."""
        raise NotImplementedError("override make() to return your probe")

    def broken(self) -> Mapping[str, ResourceProbe]:
        """Probes like yours with a sensor that fails or lies, by what is wrong with it."""
        return {}

    def test_has_the_members_of_a_probe(self) -> None:
        """Its class can be registered."""
        probe = self.make()
        assert misfit(type(probe), KINDS["probes"], "under test") == ""
        assert isinstance(probe.name, str), "its name is no text"
        assert probe.name, "its name is empty"

    def test_reads_sane_values(self) -> None:
        """Time after time."""
        probe = self.make()
        for _ in range(5):
            check(probe.sample())

    def test_blocks_at_most_a_moment(self) -> None:
        """The first sample and those after it."""
        probe = self.make()
        for _ in range(3):
            started = time.monotonic()
            probe.sample()
            seconds = time.monotonic() - started
            assert seconds < self.limit_seconds, f"a sample took {seconds:.2f} s of {self.limit_seconds} s"

    def test_may_be_sampled_from_any_thread(self) -> None:
        """A sample that hangs is followed by one from another thread."""
        probe = self.make()
        with ThreadPoolExecutor(4) as threads:
            for reading in threads.map(lambda _: probe.sample(), range(12)):
                check(reading)

    def test_is_always_of_one_host(self) -> None:
        """Readings are merged by host."""
        probe = self.make()
        assert len({probe.sample().host for _ in range(3)}) == 1

    def test_never_waits_for_the_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No connection but to this machine is even tried."""
        tried: list[object] = []

        def connect(self: socket.socket, address: object) -> None:
            if self.family != getattr(socket, "AF_UNIX", None):
                tried.append(address)
            raise OSError("no network in this test")

        monkeypatch.setattr(socket.socket, "connect", connect)
        check(self.make().sample())
        assert not tried, f"connected to {tried}"

    def test_needs_nothing_of_its_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tools that are not installed and variables that are not set leave parts out; they raise nothing."""
        for variable in tuple(os.environ):
            monkeypatch.delenv(variable)
        monkeypatch.setenv("PATH", "/nonexistent")
        check(self.make().sample())

    def test_a_sensor_that_fails_or_lies_is_left_out_and_named(self) -> None:
        """What is broken in your probe costs that sensor, and a person learns which and why."""
        for wrong, probe in self.broken().items():
            reading = HostReading()
            try:
                _, reading = judged(Known(), probe.sample())
                told = " ".join(reading.faults)
            except Exception as error:  # noqa: BLE001 - a probe may fail as a whole: then its error is what is told
                told = str(error)
            check(reading)
            assert told.strip(), f"{wrong}: nobody is told"

    def test_any_lie_is_left_out_and_the_rest_counts(self) -> None:
        """Were one of its figures negative, no number, or more than there is: the others would still be heard."""
        _, reading = judged(Known(), self.make().sample())

        @settings(max_examples=50, deadline=None, database=None)
        @given(lies(reading))
        def holds(lie: tuple[HostReading, HostReading]) -> None:
            told, left = lie
            _, kept = judged(Known(), told)
            check(kept)
            assert replace(kept, faults=()) == replace(left, faults=()), f"what is left of {told}"
            assert len(kept.faults) == len(reading.faults) + 1, f"faults of {told}: {kept.faults}"

        holds()

    def test_a_figure_that_jumps_to_another_unit_is_left_out(self) -> None:
        """Were a driver to tell KiB for bytes from one sample to the next: that pool would not be believed."""
        known, reading = judged(Known(), self.make().sample())
        if not reading.pools:
            return

        @settings(max_examples=20, deadline=None, database=None)
        @given(st.data())
        def holds(data: st.DataObject) -> None:
            told = data.draw(other_units(reading))
            _, kept = judged(known, told)
            wrong = [pool.name for pool, was in zip(told.pools, reading.pools, strict=True) if pool.total != was.total]
            assert [pool.name for pool in kept.pools] == [p.name for p in reading.pools if p.name not in wrong]
            assert len(kept.faults) > len(reading.faults), "nobody is told"

        holds()


def check(reading: HostReading) -> None:
    """Fail unless the reading could be true."""
    assert isinstance(reading, HostReading), f"sample() returned {type(reading).__name__}"
    assert reading.host, "no host"
    names = [pool.name for pool in reading.pools]
    assert len(set(names)) == len(names), f"pools of one name: {names}"
    for pool in reading.pools:
        assert pool.total > 0, f"{pool}: no memory at all"
        assert 0 <= pool.available <= pool.total, f"{pool}: more available than there is"
        assert 0 <= pool.anonymous_available <= pool.available, f"{pool}: more for anonymous memory than available"
        assert all(0 <= holder.size <= pool.total for holder in pool.held_by), f"{pool}: a process holds too much"
        if pool.use is not None:
            assert min(pool.use.anonymous, pool.use.file_backed, pool.use.reclaimable, pool.use.free) >= 0, pool.use
        if pool.busy is not None:
            _shares(pool, [pool.busy])
    if reading.cpu is not None:
        assert reading.cpu.cores >= 1, f"{reading.cpu}: no core"
        _shares(reading.cpu, [reading.cpu.busy])
    if (pressure := reading.pressure) is not None:
        _shares(pressure, [pressure.memory_some, pressure.memory_full, pressure.cpu_some])
    if reading.battery is not None:
        _shares(reading.battery, [reading.battery.charge])
    assert 0 <= reading.swap_free <= reading.swap_total, "more swap free than there is"
    assert all(fault.strip() for fault in reading.faults), "a fault without a word"


def _shares(what: object, values: Iterable[float]) -> None:
    for value in values:
        assert 0.0 <= value <= 1.0, f"{what}: {value} is no share from 0 to 1"
