"""An engine that is back is used again at once, and memory that is short is given back by whoever idles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mai_core.errors import BackendUnavailable, NothingFits
from mai_core.policy.resources import Cpu, HostReading, Pressure
from mai_core.settings.model import MonitorSettings
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import model, running

GIB = 2**30


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_nobody_is_refused_for_an_engine_that_was_gone_a_while_ago(tmp_path: Path) -> None:
    async with running(tmp_path, model("one")) as (mai, backend, _):
        await mai.process_message("Are you there?")
        backend.available = False
        with pytest.raises(BackendUnavailable):
            await mai.process_message("Still there?")
        with pytest.raises(NothingFits, match="does not answer"):
            await mai.process_message("Hello?")
        backend.available = True
        assert (await mai.process_message("And now?")).message.model == "one"


class PressedMachine(FakeMachine):
    """Work waits for memory while this is so."""

    pressed = False

    def reading(self) -> HostReading:
        reading = FakeMachine.reading(self)
        return HostReading(
            host=reading.host, pools=reading.pools, cpu=Cpu(4), pressure=Pressure(memory_full=0.5 * self.pressed)
        )


async def test_while_memory_is_short_only_the_model_in_use_stays(tmp_path: Path) -> None:
    machine = PressedMachine(total=24 * GIB)
    quick = MonitorSettings(interval_seconds=0.05)
    async with running(tmp_path, model("one", 0.9), model("two"), machine=machine, monitor=quick) as (mai, backend, _):
        for key in ("two", "one"):
            await mai.switch(key)
            await mai.process_message("Hello.")
        assert len(machine.taken) == 2
        await mai.process_message("Hello.")
        assert len(machine.taken) == 2, "as long as there is room, what is loaded stays"
        machine.pressed = True
        assert (await mai.process_message("Hello?")).message.model == "one"
        await until(lambda: len(machine.taken) == 1)
        assert ("unload", "two") in backend.calls
        assert ("unload", "one") not in backend.calls
