"""Measured power takes the place of what the settings say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mai_core.policy.power import LEAST_LOOKS, Power, PowerDraw
from mai_core.policy.resources import Host, HostReading, ResourceSnapshot
from mai_core.policy.trust import Known, judged
from mai_core.runtime.metering import Metering
from mai_core.runtime.store import Store


def test_what_was_measured_corrects_what_was_configured_and_is_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "mai.sqlite", now=time.time)
    metering = Metering(store)
    metering.look(ResourceSnapshot((Host(),)), busy=True)
    for watts, busy in ((10.0, False), (34.0, True)):
        for _ in range(LEAST_LOOKS):
            assert metering.watts(25.0) == 25.0
            metering.look(ResourceSnapshot((Host(power=Power(watts, "rapl")),)), busy=busy)
    assert metering.watts(25.0) == pytest.approx(24.0)
    assert Metering(store).watts(99.0) == pytest.approx(24.0)
    metering.look(ResourceSnapshot((Host(power=Power(40.0, "battery")),)), busy=True)
    assert metering.watts(25.0) == 25.0, "another source begins anew"
    store.close()


looks = st.lists(st.tuples(st.floats(0.0, 300.0), st.booleans()), max_size=80)


@given(looks)
def test_the_difference_is_never_below_nothing_nor_more_than_was_ever_drawn(seen: list[tuple[float, bool]]) -> None:
    draw = PowerDraw()
    for watts, busy in seen:
        draw = draw.seen(Power(watts, "rapl"), busy=busy)
    if draw.extra is not None:
        assert 0.0 <= draw.extra <= max(watts for watts, busy in seen if busy) + 1e-9


@pytest.mark.parametrize("watts", [-1.0, float("nan"), float("inf"), 1e9, "8", True])
def test_power_that_cannot_be_is_left_out(watts: float) -> None:
    _, kept = judged(Known(), HostReading(power=Power(watts, "rapl")))
    assert kept.power is None
    assert kept.faults[0].startswith("power: ")
