"""Calibrating over fake engines: measured, remembered as turns are, and nothing left behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mai_core import AsyncMai
from mai_core.errors import ModelLoadError, NothingFits, UnknownModel
from mai_core.policy.resources import Cpu
from mai_core.runtime.calibrating import Calibration
from mai_core.testing.backend import FakeModel
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import model, running

GIB = 2**30


def _measured(key: str, gib: float = 1.0, **script: Any) -> FakeModel:
    """It takes a tenth more than its size, and reads and writes at rates one can tell."""
    size = int(gib * GIB)
    told = {"size": int(size * 1.1), "measured": True, "prefill_seconds": 0.05, "token_seconds": 0.001, **script}
    return model(key, size_bytes=size, reply=" ".join(["word"] * 60), **told)


async def _calibrated(mai: AsyncMai, *keys: str, **options: Any) -> Calibration:
    mai._parts.calibrating._look_seconds = 0.01
    async with aclosing(mai.calibrate(keys, **options)) as steps:
        return [step async for step in steps][-1]


async def test_what_is_measured_is_remembered_as_turns_are(tmp_path: Path) -> None:
    async with running(tmp_path, _measured("large", 2.0), _measured("small")) as (mai, backend, _):
        found = await _calibrated(mai)
        assert [one.model.key for one in found.models] == ["small", "large"]
        small = found.models[0]
        assert not small.fault
        assert small.repetitions == 3
        assert small.measured is not None
        assert small.measured.anonymous == int(GIB * 1.1)
        assert small.error is not None
        assert small.corrections.private.runs >= 1
        assert 500 < small.speed.generation_tps < 1100
        speeds = mai.store.speeds()
        assert speeds["fake", "small"].generation_tps == pytest.approx(small.speed.generation_tps)
        assert speeds["fake", "small"].prompt_tps == pytest.approx(small.speed.prompt_tps)
        assert len(mai.store.observations(10)) == 2
        assert {load.key for load in mai.store.loads()} == {"small", "large"}
        assert found.after.bytes_per_second != found.before.bytes_per_second
        assert [call for call in backend.calls if call[0] != "generate"] == [
            *[("load", "small"), ("unload", "small")],
            *[("load", "large"), ("unload", "large")],
        ]


async def test_what_was_in_memory_before_is_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path, _measured("one"), _measured("two")) as (mai, backend, _):
        await mai.switch("one")
        await mai.manager.preload_model("one")
        found = await _calibrated(mai)
        assert {one.model.key for one in found.models} == {"one", "two"}
        assert [m.key for m in await backend.loaded()] == ["one"]


async def test_a_model_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    broken = _measured("broken", 0.5, load_failures=[ModelLoadError("no such engine", remedy="install it")])
    crashing = _measured("crashing", 0.6, crash_at=3)
    async with running(tmp_path, broken, crashing, _measured("sound")) as (mai, backend, _):
        found = await _calibrated(mai)
        told = {one.model.key: (one.fault, one.remedy) for one in found.models}
        assert told["broken"] == ("no such engine", "install it")
        assert "gone" in told["crashing"][0]
        assert told["sound"] == ("", "")
        assert not await backend.loaded()


async def test_speeds_of_a_busy_machine_are_shown_and_not_kept(tmp_path: Path) -> None:
    machine = FakeMachine(cpu=Cpu(4, 0.9))
    async with running(tmp_path, _measured("one"), machine=machine) as (mai, _, _):
        found = await _calibrated(mai)
        assert "90%" in found.busy
        assert found.models[0].speed.generation_tps > 0
        assert not mai.store.speeds()["fake", "one"].generation_tps
        assert mai.store.observations(10)
        await _calibrated(mai, keep_all=True)
        assert mai.store.speeds()["fake", "one"].generation_tps


async def test_an_end_in_the_middle_leaves_nothing_loaded_and_keeps_what_was_measured(tmp_path: Path) -> None:
    slow = _measured("slow", 2.0, token_seconds=30.0)
    async with running(tmp_path, _measured("quick"), slow) as (mai, backend, _):
        work = asyncio.create_task(_calibrated(mai))
        async with asyncio.timeout(10):
            while ("generate", "slow") not in backend.calls:
                await asyncio.sleep(0.01)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert not await backend.loaded()
        assert mai.store.speeds()["fake", "quick"].generation_tps


async def test_nothing_leaves_for_a_measurement(tmp_path: Path) -> None:
    machine = FakeMachine(total=4 * GIB)
    async with running(tmp_path, _measured("used", 1.5), _measured("wide", 1.6), machine=machine) as (mai, backend, _):
        await mai.manager.preload_model("used")
        found = await _calibrated(mai, "wide")
        assert "no free memory" in found.models[0].fault
        assert [m.key for m in await backend.loaded()] == ["used"]


async def test_without_a_model_there_is_a_remedy(tmp_path: Path) -> None:
    async with running(tmp_path) as (mai, _, _):
        with pytest.raises(NothingFits, match="no model is on this disk") as told:
            await _calibrated(mai)
        assert "mai pull" in told.value.remedy
        with pytest.raises(UnknownModel):
            await _calibrated(mai, "nobody")
