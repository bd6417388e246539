"""What is told of a machine's changes: each once, and nothing for a figure that wavers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.resources import Battery, Cpu, Host, MemoryPool, PoolKind, Pressure, ResourceSnapshot
from mai_core.policy.triggers import Event, Trigger, Watched, WatchRules, look

GIB = 2**30
RULES = WatchRules()
SHORT, AMPLE = GIB // 8, 8 * GIB


def machine(available: int = AMPLE, *, busy: float = 0.1, full: float = 0.0, plugged: bool | None = None) -> Host:
    return Host(
        pools=(MemoryPool("ram", PoolKind.RAM, 16 * GIB, available),),
        cpu=Cpu(4, busy),
        pressure=Pressure(memory_full=full),
        battery=None if plugged is None else Battery(0.5, plugged),
    )


def told(looks: Sequence[tuple[float, Host]]) -> list[tuple[float, Trigger]]:
    watched: Watched = {}
    found: list[tuple[float, Trigger]] = []
    for at, host in looks:
        watched, events = look(watched, ResourceSnapshot((host,), at), RULES)
        found += [(at, event.trigger) for event in events]
        assert all(event == Event(event.trigger, "local") for event in events)
    return found


def every(seconds: float, start: float, end: float, host: Host) -> list[tuple[float, Host]]:
    return [(start + i * seconds, host) for i in range(int((end - start) / seconds))]


def test_trouble_from_its_beginning_to_the_calm_after_it() -> None:
    looks = [*every(2, 0, 10, machine()), *every(2, 10, 40, machine(SHORT)), *every(2, 40, 400, machine())]
    assert told(looks) == [
        (10.0, Trigger.TROUBLE_BEGAN),
        (20.0, Trigger.TROUBLE_LASTS),
        (30.0, Trigger.TROUBLE_LASTS),
        (40.0, Trigger.TROUBLE_ENDED),
        (338.0, Trigger.CALM),
        (340.0, Trigger.ROOMIER),
    ]


def test_a_calm_that_is_broken_begins_anew() -> None:
    looks = [
        (0.0, machine(SHORT)),
        *every(2, 2, 200, machine()),
        (200.0, machine(SHORT)),
        *every(2, 202, 499, machine()),
    ]
    assert Trigger.CALM not in [trigger for _, trigger in told(looks)]
    assert told([*looks, (500.0, machine())])[-1] == (500.0, Trigger.CALM)


def test_work_that_waits_for_memory_is_trouble_too() -> None:
    assert told([(0.0, machine()), (2.0, machine(full=0.2))]) == [(2.0, Trigger.TROUBLE_BEGAN)]


def test_memory_that_others_gave_back_and_left_is_told_once() -> None:
    looks = [*every(2, 0, 20, machine(4 * GIB)), *every(2, 20, 2000, machine(8 * GIB))]
    assert told(looks) == [(320.0, Trigger.ROOMIER)]


def test_memory_that_comes_and_goes_is_not() -> None:
    looks = [(200.0 * i, machine(8 * GIB if i % 2 else 4 * GIB)) for i in range(40)]
    assert told(looks) == []


def test_the_plug_is_believed_when_it_stays() -> None:
    loose = [(float(i), machine(plugged=bool(i % 2))) for i in range(60)]
    assert told(loose) == []
    pulled = [*every(2, 0, 10, machine(plugged=True)), *every(2, 10, 30, machine(plugged=False))]
    assert told(pulled) == [(14.0, Trigger.UNPLUGGED)]
    assert told([*pulled, *every(2, 30, 40, machine(plugged=True))])[1:] == [(34.0, Trigger.PLUGGED)]
    assert told(every(2, 0, 10, machine(plugged=False))) == [], "that is how it was found"


def test_the_processor_is_busy_when_it_was_for_long_and_free_when_it_was_for_as_long() -> None:
    looks = [*every(2, 0, 60, machine(busy=0.95)), *every(2, 60, 120, machine(busy=0.1))]
    assert told(looks) == [(30.0, Trigger.BUSY), (90.0, Trigger.FREE)]
    assert told([(2.0 * i, machine(busy=0.3 if i % 2 else 0.7)) for i in range(500)]) == []
    assert told([(2.0 * i, machine(busy=0.1 if i % 10 else 0.95)) for i in range(500)]) == []


hosts = st.builds(
    machine,
    st.sampled_from([0, SHORT, GIB // 3, GIB, 4 * GIB, 5 * GIB, AMPLE, 16 * GIB]),
    busy=st.sampled_from([0.0, 0.3, 0.6, 0.7, 0.9, 1.0]),
    full=st.sampled_from([0.0, 0.04, 0.06, 0.2]),
    plugged=st.sampled_from([None, True, False]),
)


@given(st.lists(st.tuples(st.sampled_from([0.0, 2.0, 30.0, 301.0]), hosts), max_size=60))
def test_whatever_a_machine_does_it_is_told_in_order_and_not_too_often(steps: list[tuple[float, Host]]) -> None:
    now, looks = 0.0, []
    for seconds, host in steps:
        now += seconds
        looks.append((now, host))
    events = told(looks)

    def alternate(one: Trigger, other: Trigger) -> None:
        order = [trigger for _, trigger in events if trigger in (one, other)]
        assert all(a is not b for a, b in pairwise(order))
        assert order[:1] != [other] or other is Trigger.PLUGGED

    alternate(Trigger.TROUBLE_BEGAN, Trigger.TROUBLE_ENDED)
    alternate(Trigger.UNPLUGGED, Trigger.PLUGGED)
    alternate(Trigger.BUSY, Trigger.FREE)
    for trigger, apart in (
        (Trigger.TROUBLE_LASTS, RULES.lasts_seconds),
        (Trigger.CALM, RULES.limits.up_after_seconds),
        (Trigger.ROOMIER, RULES.limits.up_after_seconds),
        (Trigger.BUSY, 2 * RULES.busy_seconds),
    ):
        times = [at for at, found in events if found is trigger]
        assert all(later - at >= apart for at, later in pairwise(times))


def test_a_host_that_is_not_seen_for_a_while_is_remembered() -> None:
    watched, _ = look({}, ResourceSnapshot((machine(SHORT),), 0.0), RULES)
    watched, events = look(watched, ResourceSnapshot((), 2.0), RULES)
    assert not events
    _, events = look(watched, ResourceSnapshot((replace(machine(), name="other"), machine()), 4.0), RULES)
    assert list(events) == [Event(Trigger.TROUBLE_ENDED, "local")]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50), st.floats(0.1, 60.0))
def test_a_smoothed_processor_stays_within_what_was_read_and_reaches_what_lasts(read: list[float], step: float) -> None:
    cpu = None
    for busy in read:
        cpu = Cpu(4, busy).smoothed(cpu, step)
        assert min(read) - 1e-9 <= cpu.busy <= max(read) + 1e-9
    for _ in range(1000):
        cpu = Cpu(4, 0.5).smoothed(cpu, step)
    assert cpu is not None
    assert abs(cpu.busy - 0.5) < 0.01


def test_a_processor_that_flickers_keeps_its_free_cores() -> None:
    cpu, seen = None, []
    for i in range(200):
        cpu = Cpu(8, 0.3 if i % 2 else 0.7).smoothed(cpu, 2.0)
        seen.append(cpu.free_cores)
    assert len(set(seen[60:])) == 1
    assert {Cpu(8, 0.3).free_cores, Cpu(8, 0.7).free_cores} == {6, 2}
