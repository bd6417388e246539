"""The laws every resource probe keeps."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mai_core.plugin.interfaces import ResourceProbe
from mai_core.plugin.shape import KINDS, misfit
from mai_core.policy.resources import HostReading

__all__ = ["ProbeConformance"]


class ProbeConformance:
    """Subclass it as ``TestMine`` and override ``make``."""

    limit_seconds = 1.0
    """A sample that takes longer is left out of a snapshot by the default settings."""

    def make(self) -> ResourceProbe:
        """A fresh probe, as settings would construct it."""
        raise NotImplementedError("override make() to return your probe")

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


def check(reading: HostReading) -> None:
    """Fail unless the reading could be true."""
    assert isinstance(reading, HostReading), f"sample() returned {type(reading).__name__}"
    assert reading.host, "no host"
    names = [pool.name for pool in reading.pools]
    assert len(set(names)) == len(names), f"pools of one name: {names}"
    for pool in reading.pools:
        assert pool.total > 0, f"{pool}: no memory at all"
        assert 0 <= pool.available <= pool.total, f"{pool}: more available than there is"
    if reading.cpu is not None:
        assert reading.cpu.cores >= 1, f"{reading.cpu}: no core"
        _shares(reading.cpu, [reading.cpu.busy])
    if (pressure := reading.pressure) is not None:
        _shares(pressure, [pressure.memory_some, pressure.memory_full, pressure.cpu_some])
    if reading.battery is not None:
        _shares(reading.battery, [reading.battery.charge])
    assert 0 <= reading.swap_free <= reading.swap_total, "more swap free than there is"


def _shares(what: object, values: Iterable[float]) -> None:
    for value in values:
        assert 0.0 <= value <= 1.0, f"{what}: {value} is no share from 0 to 1"
