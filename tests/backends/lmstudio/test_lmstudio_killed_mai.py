"""What killed processes of Mai left in LM Studio is used and unloaded by the next one; all else is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from lmstudio_world import KEY, REPLY, MakeBackend, mai_process, said

from mai_backends.lmstudio.backend import LMStudioBackend
from mai_backends.lmstudio.holdings import FORGOTTEN_AFTER, Holdings
from mai_backends.lmstudio.processes import Process
from mai_core.policy.messages import GenerationOptions, Message, Role
from mai_core.policy.models import Footprint, KvType, LoadedModel, LoadPlan
from tests.standins.lmstudio import LMStudioStandIn, StandInModel

LOADS = """
(model,) = await backend.models()
loaded = await backend.load(model, LoadPlan(context=2048, batch=256))
print(loaded.instance, flush=True)
"""
PLAN = LoadPlan(context=2048, batch=256)
TAKES = Footprint(1, 2, {"gpu": 3})


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def notes(root: Path) -> list[Path]:
    return sorted((root / "state_dir/lmstudio/holdings").glob("*"))


async def answer(backend: LMStudioBackend, instance: str) -> str:
    said = (Message(role=Role.USER, content="Hello"),)
    async with aclosing(backend.generate(instance, said, GenerationOptions())) as stream:
        return "".join([getattr(event, "text", "") async for event in stream])


async def test_what_a_killed_process_loaded_is_used_and_unloaded(
    make_backend: MakeBackend, standin: LMStudioStandIn, tmp_path: Path
) -> None:
    with mai_process(tmp_path, LOADS, url=standin.host) as other:
        instance = said(other)
        kill(other)
    assert list(standin.instances) == [instance]
    backend = make_backend(url=standin.host)
    await backend.models()
    (left,) = await backend.loaded()
    assert (left.instance, left.key, left.owned, left.plan) == (instance, KEY, True, PLAN)
    assert left.footprint.total == standin.models[KEY].memory(2048)
    assert await answer(backend, instance) == REPLY
    assert [(each.instance, each.owned) for each in await backend.loaded()] == [(instance, True)]
    assert [Process.this().pid] == [int(note.name.rpartition("~")[2].partition("-")[0]) for note in notes(tmp_path)]
    await backend.close()
    assert standin.instances == {}
    assert notes(tmp_path) == []


async def test_room_is_made_with_it(make_backend: MakeBackend, standin: LMStudioStandIn, tmp_path: Path) -> None:
    with mai_process(tmp_path, LOADS, url=standin.host) as other:
        instance = said(other)
        kill(other)
    backend = make_backend(url=standin.host)
    await backend.loaded()
    await backend.unload(instance)
    assert standin.instances == {}
    assert notes(tmp_path) == []


async def test_what_a_living_process_loaded_is_its_own(
    make_backend: MakeBackend, standin: LMStudioStandIn, tmp_path: Path
) -> None:
    with mai_process(tmp_path, LOADS, url=standin.host) as other:
        instance = said(other)
        backend = make_backend(url=standin.host)
        (model,) = await backend.models()
        mine = await backend.load(model, PLAN)
        assert {each.instance: each.owned for each in await backend.loaded()} == {instance: False, mine.instance: True}
        await backend.unload(instance)
        assert await answer(backend, instance) == REPLY
        await backend.close()
        assert list(standin.instances) == [instance]
        assert len(notes(tmp_path)) == 1
        kill(other)


async def test_who_only_looks_unloads_nothing(
    make_backend: MakeBackend, standin: LMStudioStandIn, tmp_path: Path
) -> None:
    with mai_process(tmp_path, LOADS, url=standin.host) as other:
        instance = said(other)
        kill(other)
    looking = make_backend(url=standin.host)
    assert [each.owned for each in await looking.loaded()] == [True]
    await looking.close()
    assert list(standin.instances) == [instance]
    working = make_backend(url=standin.host)
    (model,) = await working.models()
    await working.loaded()
    await working.load(model, LoadPlan(context=4096))
    await working.close()
    assert standin.instances == {}, "what nobody wanted was left"
    assert notes(tmp_path) == []


async def test_killed_while_it_loads(make_backend: MakeBackend, tmp_path: Path) -> None:
    work = """
    (model,) = await backend.models()
    tell = lambda share: print("loading", flush=True)
    await backend.load(model, LoadPlan(context=2048, batch=256), progress=tell)
    """
    with LMStudioStandIn([StandInModel(key=KEY, load_seconds=4.0)]) as standin:
        with mai_process(tmp_path, work, url=standin.host) as other:
            assert said(other) == "loading"
            while not standin.loading:
                await asyncio.sleep(0.01)
            kill(other)
        async with asyncio.timeout(60):
            while standin.loading:
                await asyncio.sleep(0.02)
        backend = make_backend(url=standin.host)
        await backend.models()
        (left,) = await backend.loaded()
        assert (left.owned, left.plan) == (True, PLAN)


async def test_a_load_that_fails_leaves_no_note(
    make_backend: MakeBackend, standin: LMStudioStandIn, tmp_path: Path
) -> None:
    backend = make_backend(url=standin.host)
    (model,) = await backend.models()
    standin.memory = 1000
    with pytest.raises(Exception, match="cannot be loaded"):
        await backend.load(model, PLAN)
    assert notes(tmp_path) == []


def held(root: Path, instance: str, process: str) -> Path:
    """A note as the process of that text would have left it."""
    Holdings(root).keep(
        LoadedModel(instance=instance, key="k", backend="b", plan=LoadPlan(context=512), footprint=TAKES)
    )
    (note,) = (file for file in root.glob(f"{instance}~*"))
    return note.rename(root / f"{instance}~{process}.json")


def dead() -> Process:
    """A process that has ended: no system gives a number that large."""
    return Process(2**31 - 7, 1, Process.this().node)


def test_a_note_changes_hands_once(tmp_path: Path) -> None:
    held(tmp_path, "mai-x", str(dead()))
    first, second = Holdings(tmp_path), Holdings(tmp_path)
    assert list(first.left(["mai-x", "mai-y"])) == list(second.left(["mai-x"])) == ["mai-x"]
    assert (first.claim("mai-x"), second.claim("mai-x")) == (True, False)
    assert second.left(["mai-x"]) == {}


def test_a_number_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    this = Process.this()
    held(tmp_path, "mai-x", str(Process(this.pid, this.born - 1000, this.node)))
    held(tmp_path, "mai-y", str(this))
    assert list(Holdings(tmp_path).left(["mai-x", "mai-y"])) == ["mai-x"]


def test_nobody_can_tell_of_another_machines_processes(tmp_path: Path) -> None:
    held(tmp_path, "mai-x", str(Process(dead().pid, 1, "another-machine")))
    assert Holdings(tmp_path).left(["mai-x"]) == {}
    assert not Holdings(tmp_path).claim("mai-x")


def test_notes_come_back_as_they_were(tmp_path: Path) -> None:
    plan = LoadPlan(context=512, kv_type=KvType.Q8_0, gpu_layers=-1, flash_attention=True)
    loaded = LoadedModel(instance="mai-x", key="k", backend="b", plan=plan, footprint=TAKES)
    Holdings(tmp_path).keep(loaded)
    (note,) = tmp_path.iterdir()
    note.rename(tmp_path / f"mai-x~{dead()}.json")
    assert Holdings(tmp_path).left(["mai-x"]) == {"mai-x": loaded}


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"instance": "mai-other"}'])
def test_what_is_no_note_costs_nothing(tmp_path: Path, content: bytes) -> None:
    held(tmp_path, "mai-x", str(dead())).write_bytes(content)
    (tmp_path / "README").write_bytes(content)
    (tmp_path / "x~1-1.json").write_bytes(content)
    held(tmp_path, "mai-y", str(dead()))
    assert list(Holdings(tmp_path).left(["mai-x", "mai-y", "x"])) == ["mai-y"]


def test_old_notes_are_tidied_away(tmp_path: Path) -> None:
    files = {name: held(tmp_path, name, str(dead())) for name in ("mai-there", "mai-new", "mai-old")}
    long_ago = time.time() - FORGOTTEN_AFTER - 10
    for name in ("mai-there", "mai-old"):
        os.utime(files[name], (long_ago, long_ago))
    Holdings(tmp_path).tidy(["mai-there"])
    assert {name for name, file in files.items() if file.exists()} == {"mai-there", "mai-new"}


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = Holdings(tmp_path / "file/folder")
    nowhere.keep(LoadedModel(instance="mai-x", key="k", backend="b", plan=PLAN, footprint=TAKES))
    nowhere.drop("mai-x")
    nowhere.tidy([])
    assert (nowhere.left(["mai-x"]), nowhere.claim("mai-x")) == ({}, False)
