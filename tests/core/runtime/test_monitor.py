"""The state of the machine, whatever its sensors do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from mai_core.policy.feasibility import Limits
from mai_core.policy.resources import Battery, Cpu, Host, HostReading, MemoryPool, PoolKind, Pressure
from mai_core.policy.trouble import in_trouble
from mai_core.runtime.monitor import Monitor, merge
from mai_core.settings.model import MonitorSettings
from mai_core.testing import FakeClock
from mai_core.testing.machine import FakeProbe

GIB = 2**30
QUICK = MonitorSettings(interval_seconds=0.02, probe_timeout_seconds=0.2)


def reading(available: int, *, full: float = 0.0) -> HostReading:
    pool = MemoryPool("ram", PoolKind.RAM, 16 * GIB, available)
    return HostReading(pools=(pool,), cpu=Cpu(4), pressure=Pressure(memory_full=full))


class Hanging(FakeProbe):
    """Answers once, and then not before it is let go."""

    def __init__(self) -> None:
        self.name = "hanging"
        self.samples = 0
        self.let_go = threading.Event()

    def sample(self) -> HostReading:
        self.samples += 1
        if self.samples > 1:
            self.let_go.wait(20)
        return reading(GIB)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_refresh_reads_now() -> None:
    probe = FakeProbe.scripted(reading(8 * GIB), reading(4 * GIB))
    monitor = Monitor([probe], MonitorSettings(interval_seconds=60.0), Limits())
    monitor.start()
    try:
        until(lambda: bool(monitor.latest().hosts))
        assert monitor.refresh().hosts[0].pools[0].available == 4 * GIB
        assert monitor.faults == ()
    finally:
        monitor.close()


def test_a_hanging_probe_is_waited_for_once_named_and_forgiven() -> None:
    hanging, fine = Hanging(), FakeProbe.scripted(HostReading(cpu=Cpu(2)), name="fine")
    monitor = Monitor([hanging, fine], QUICK, Limits())
    monitor.start()
    try:
        until(lambda: hanging.samples > 1)
        monitor.refresh()
        started = time.monotonic()
        for _ in range(5):
            monitor.refresh()
        assert time.monotonic() - started < QUICK.probe_timeout_seconds, "nobody waits for it again"
        until(lambda: not monitor.latest().hosts[0].pools)
        assert monitor.latest().hosts[0].cpu == Cpu(2), "the other probe is heard all the same"
        assert monitor.faults == ("hanging: does not answer",)
        hanging.let_go.set()
        until(lambda: monitor.faults == ())
        assert monitor.refresh().hosts[0].pools
    finally:
        hanging.let_go.set()
        monitor.close()


def test_a_probe_that_hangs_from_the_start_is_named_as_soon_as_it_was_waited_for() -> None:
    hanging = Hanging()
    hanging.samples = 1
    monitor = Monitor([hanging], MonitorSettings(interval_seconds=60.0, probe_timeout_seconds=0.05), Limits())
    monitor.start()
    try:
        assert monitor.faults == (), "it may only be slow"
        monitor.refresh()
        assert monitor.faults == ("hanging: does not answer",)
        hanging.let_go.set()
        until(lambda: monitor.faults == ())
    finally:
        hanging.let_go.set()
        monitor.close()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [(OSError("no such sensor"), "odd: OSError: no such sensor"), ("nonsense", "odd: answered str, not a HostReading")],
)
def test_a_probe_that_fails_is_named_and_left_out(
    answer: Exception | str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(FakeProbe):
        def sample(self) -> HostReading:
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[return-value]

    monitor = Monitor([Odd.scripted(name="odd"), FakeProbe.scripted(reading(GIB))], QUICK, Limits())
    with caplog.at_level(logging.WARNING, "mai.monitor"):
        monitor.start()
        try:
            for _ in range(3):
                snapshot = monitor.refresh()
        finally:
            monitor.close()
    assert monitor.faults == (fault,)
    assert [h.pools[0].available for h in snapshot.hosts] == [GIB]
    assert len(caplog.records) == 1, "told once, not with every sample"


def test_a_sensor_that_lies_is_left_out_named_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    sound = MemoryPool("ram", PoolKind.RAM, 16 * GIB, 8 * GIB)
    script = [HostReading(pools=(sound, MemoryPool("gpu0", PoolKind.DEVICE, GIB, size))) for size in (2 * GIB, 3 * GIB)]
    monitor = Monitor([FakeProbe.scripted(*script, name="odd")], QUICK, Limits())
    with caplog.at_level(logging.WARNING, "mai.monitor"):
        monitor.start()
        try:
            for _ in range(4):
                snapshot = monitor.refresh()
        finally:
            monitor.close()
    assert monitor.faults == (f"odd: gpu0: {3 * GIB} of {GIB} bytes available",)
    assert snapshot.hosts[0].pools == (sound,)
    assert [r.fault.partition(":")[0] for r in caplog.records] == ["gpu0"]  # type: ignore[attr-defined]


def test_what_a_probe_says_of_its_own_sensors_is_told() -> None:
    probe = FakeProbe.scripted(HostReading(cpu=Cpu(2), faults=("battery: gone", "memory: unreadable")), name="odd")
    monitor = Monitor([probe], QUICK, Limits())
    monitor.start()
    try:
        assert monitor.refresh().hosts[0].cpu == Cpu(2)
        assert monitor.faults == ("odd: battery: gone", "odd: memory: unreadable")
    finally:
        monitor.close()


def test_figures_in_another_unit_are_not_believed_after_those_before() -> None:
    probe = FakeProbe.scripted(reading(8 * GIB), HostReading(pools=(MemoryPool("ram", PoolKind.RAM, 2**24, 2**23),)))
    monitor = Monitor([probe], MonitorSettings(interval_seconds=60.0), Limits())
    monitor.start()
    try:
        until(lambda: bool(monitor.latest().hosts))
        assert monitor.refresh().hosts[0].pools == ()
        [fault] = monitor.faults
        assert "another unit" in fault
    finally:
        monitor.close()


@pytest.mark.parametrize("fails", [False, True])
def test_a_probe_that_holds_something_is_closed_in_the_thread_that_sampled(fails: bool) -> None:
    threads: list[int] = []

    class Holding(FakeProbe):
        def sample(self) -> HostReading:
            threads.append(threading.get_ident())
            return super().sample()

        def close(self) -> None:
            threads.append(-threading.get_ident())
            if fails:
                raise OSError("gone")

    monitor = Monitor([Holding.scripted(reading(GIB))], QUICK, Limits())
    monitor.start()
    monitor.refresh()
    monitor.close()
    until(lambda: threads[-1] < 0)
    assert {abs(thread) for thread in threads} == {threads[0]}
    assert threads[0] != threading.get_ident()


@pytest.mark.filterwarnings("error")
def test_a_probe_that_is_async_is_told_so_and_nothing_else() -> None:
    class Async(FakeProbe):
        async def sample(self) -> HostReading:  # type: ignore[override]
            return reading(GIB)

    monitor = Monitor([Async.scripted(name="odd")], QUICK, Limits())
    monitor.start()
    try:
        until(lambda: bool(monitor.faults))
    finally:
        monitor.close()
    assert monitor.faults == ("odd: sample is async; it has to be a plain function",)


def test_trouble_is_counted_and_calm_comes_with_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(100.0)
    limits = Limits(headroom_min=GIB, headroom_max=GIB)
    script = [reading(8 * GIB), reading(GIB // 8), reading(3 * GIB // 8), reading(8 * GIB)]
    monitor = Monitor([FakeProbe.scripted(*script)], MonitorSettings(interval_seconds=60.0), limits, clock=clock)
    with caplog.at_level(logging.WARNING, "mai.monitor"):
        monitor.start()
        try:
            until(lambda: bool(monitor.latest().hosts))
            assert monitor.latest().calm_seconds == float("inf")
            assert monitor.refresh().calm_seconds == 0.0
            clock.advance(10)
            assert monitor.refresh().calm_seconds == 0.0, "more free than where it began, less than where it ends"
            clock.advance(10)
            assert monitor.refresh().calm_seconds == 10.0
        finally:
            monitor.close()
    assert [r.message for r in caplog.records] == ["memory trouble began", "memory trouble ended"]


@pytest.mark.parametrize(
    ("available", "full", "from_calm", "from_trouble"),
    [
        (GIB, 0.0, False, False),
        (3 * GIB // 8, 0.0, False, True),
        (GIB // 8, 0.0, True, True),
        (8 * GIB, 0.07, False, True),
        (8 * GIB, 0.04, False, False),
        (8 * GIB, 0.2, True, True),
    ],
)
def test_trouble_begins_and_ends_at_different_thresholds(
    available: int, full: float, from_calm: bool, from_trouble: bool
) -> None:
    host = merge([reading(available, full=full)])[0]
    limits = Limits(headroom_min=GIB, headroom_max=GIB)
    assert in_trouble(host, False, limits, 0.10) is from_calm
    assert in_trouble(host, True, limits, 0.10) is from_trouble


def test_a_host_whose_memory_nobody_knows_stays_as_it_was() -> None:
    for was in (False, True):
        assert in_trouble(Host(), was, Limits(), 0.10) is was


def test_readings_are_merged_by_host_and_the_first_is_believed() -> None:
    ram = MemoryPool("ram", PoolKind.RAM, 16, 8)
    gpu = MemoryPool("gpu0", PoolKind.DEVICE, 8, 8)
    local, other = merge(
        [
            HostReading(pools=(ram,), battery=Battery(0.5, False)),
            HostReading(host="other", cpu=Cpu(64)),
            HostReading(pools=(MemoryPool("ram", PoolKind.RAM, 1, 1), gpu), cpu=Cpu(2), swap_total=4, swap_free=3),
        ]
    )
    assert local.pools == (ram, gpu)
    assert (local.cpu, local.battery, local.swap_total, local.swap_free) == (Cpu(2), Battery(0.5, False), 4, 3)
    assert (other.name, other.cpu, other.ram) == ("other", Cpu(64), None)
