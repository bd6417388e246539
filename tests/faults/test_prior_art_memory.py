"""What users of other systems suffer from where models share memory: each test is named by its place on that list."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mai_core import AsyncMai, hookimpl
from mai_core.errors import OutOfMemory
from mai_core.plugin.interfaces import LoadProgress
from mai_core.policy.feasibility import Situation, feasible
from mai_core.policy.features import TaskFeatures
from mai_core.policy.models import LoadedModel, LoadPlan, ModelProfile
from mai_core.policy.resources import Cpu, Host, MemoryPool, PoolKind, ResourceSnapshot
from mai_core.policy.selection import RejectionReason
from mai_core.runtime import leaving
from mai_core.runtime.turn import FellBack
from mai_core.settings.model import SelectionSettings
from mai_core.testing.backend import FakeBackend, FakeModel
from mai_core.testing.machine import FakeMachine
from tests.core.runtime.worlds import events_of, model, running

GIB = 2**30
CODE = "Write a Python function that parses a CSV file and returns a list of dicts, with tests."
LONG = " ".join(f"word{n}" for n in range(100))
ALONE = {"preload": {"enabled": False}}


def coder(**script: object) -> FakeModel:
    """A model for code, of little use for anything else."""
    made = model("coder", **script)
    made.profile = replace(made.profile, quality={"default": 0.2, "code": 0.95})
    return made


def calls(backend: FakeBackend, what: str) -> list[str]:
    return [key for done, key in backend.calls if done == what]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_01_memory_that_others_hold_is_seen_before_a_load_is_tried(tmp_path: Path) -> None:
    """lmstudio#2295: guardrails missed what others hold. Wanted: a live probe, asked for every turn."""
    machine = FakeMachine(total=16 * GIB)
    big, small = model("big", 0.9, size_bytes=6 * GIB), model("small", 0.3)
    best = SelectionSettings(strategies=("greedy-fit",))
    async with running(tmp_path, big, small, machine=machine, selection=best) as (mai, backend, _):
        assert (await mai.explain(CODE)).decision.choice == "big"
        machine.others = 10 * GIB
        reply = await mai.process_message(CODE)
        assert reply.message.model == "small"
        assert calls(backend, "load") == ["small"], "nothing was tried that could not fit"
        [told] = [r for r in reply.decision.rejections if r.key == "big"]
        assert (told.reason, told.missing > 0, "free" in told.remedy) == (RejectionReason.MEMORY, True, True)


def hidden_shortage(bigs: int) -> list[FakeModel]:
    """Models that look as if they fit and die loading, for somebody holds memory no probe sees; and one that is well"""
    dying = [
        model(f"big{n}", 0.9 - n / 100, size_bytes=3 * GIB, load_failures=[OutOfMemory("aborted (SIGABRT)")] * 99)
        for n in range(bigs)
    ]
    return [*dying, model("small", 0.2)]


async def test_01_a_model_that_dies_loading_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """lmstudio#2295: OOM came as SIGABRT, again and again. Wanted: a class for that error, and a circuit breaker."""
    async with running(tmp_path, *hidden_shortage(1), **ALONE) as (mai, backend, _):
        events = await events_of(mai, "Hello there")
        assert {type(e.error) for e in events if isinstance(e, FellBack)} == {OutOfMemory}
        assert events[-1].reply.message.model == "small"  # type: ignore[union-attr]
        tried = len(calls(backend, "load"))
        again = await mai.process_message("Still there?")
        assert again.message.model == "small"
        assert len(calls(backend, "load")) == tried, "nobody who died is tried again in the next turn"
        assert {r.key for r in again.decision.rejections if r.reason is RejectionReason.HEALTH} == {"big0"}


async def test_01_too_little_memory_for_one_is_too_little_for_all_as_large(tmp_path: Path) -> None:
    """lmstudio#2295: a selector crashed through every candidate. Wanted: on to one that takes less, and an answer."""
    async with running(tmp_path, *hidden_shortage(6), **ALONE) as (mai, backend, _):
        assert (await mai.process_message("Hello there")).message.model == "small"
        assert len(set(calls(backend, "load"))) <= 3


async def test_02_the_memory_of_the_model_to_be_replaced_counts_as_free(tmp_path: Path) -> None:
    """lmstudio#1562: the estimate forgot the resident it would replace. Wanted: reclaimable memory is credited."""
    machine = FakeMachine(total=8 * GIB)
    old, new = model("old", size_bytes=4 * GIB), model("new", size_bytes=5 * GIB)
    async with running(tmp_path, old, new, machine=machine, **ALONE) as (mai, backend, _):
        await mai.switch("old")
        await mai.process_message("Hello there")
        assert machine.available < 5 * GIB, "it does not fit beside the other"
        await mai.switch("new")
        assert (await mai.process_message("And now?")).message.model == "new"
        assert backend.calls[2:] == [("unload", "old"), ("load", "new"), ("generate", "new")]


async def test_02_an_estimate_that_was_wrong_is_corrected_by_what_was_seen(tmp_path: Path) -> None:
    """lmstudio#1631: 22.9 GB were estimated where 11.5 are taken. Wanted: a correction learned from real loads."""
    machine = FakeMachine(total=24 * GIB)
    thrifty, small = model("thrifty", size_bytes=10 * GIB, size=5 * GIB, measured=True), model("small")
    async with running(tmp_path, thrifty, small, machine=machine, **ALONE) as (mai, _, _):
        await mai.switch("thrifty")
        for _ in range(2):
            await mai.process_message("Hello there")
            await mai._parts.pool.unload("thrifty")
        machine.others = 14 * GIB  # and so twice what it takes is available
        assert (await mai.process_message("And now?")).message.model == "thrifty"


async def test_03_concurrent_requests_share_one_load(tmp_path: Path) -> None:
    """lmstudio#1751: concurrent requests loaded N copies. Wanted: one load, shared by turns and by what is prepared."""
    async with running(tmp_path, model("one", load_seconds=0.3)) as (mai, backend, _):
        names = [await mai.new_conversation() for _ in range(5)]
        await mai.prepare("Hello")
        replies = await asyncio.gather(*(mai.process_message("Hello", conversation=name) for name in names))
        assert [r.message.model for r in replies] == ["one"] * 5
        assert calls(backend, "load") == ["one"]
        assert len(backend.machine.taken) == 1


async def test_03_what_is_being_loaded_while_the_person_types_is_waited_for(tmp_path: Path) -> None:
    """lmstudio#1751, from the other side. Wanted: a request shares the load under way, however tight memory is."""
    talker, other = model("talker", 0.9, size_bytes=2 * GIB, load_seconds=0.5), model("other", 0.2)
    async with running(tmp_path, talker, other, machine=FakeMachine(total=4 * GIB)) as (mai, backend, _):
        question = "What is the capital of France?"
        await mai.prepare(question)
        await until(lambda: calls(backend, "load") == ["talker"])
        reply = await mai.process_message(question)
        assert (reply.message.model, calls(backend, "load")) == ("talker", ["talker"])


async def test_04_nothing_cuts_off_an_answer_under_way(tmp_path: Path) -> None:
    """lmstudio#671, llama.cpp#21678: a load cut off a running generation. Wanted: a lease, which nobody breaks."""
    machine = FakeMachine(total=8 * GIB)
    talker = model("talker", 0.6, size_bytes=4 * GIB, reply=LONG, token_seconds=0.02)
    async with running(tmp_path, talker, coder(size_bytes=4 * GIB), machine=machine, **ALONE) as (mai, backend, _):
        first, second = await mai.new_conversation(), await mai.new_conversation()
        answer = asyncio.create_task(mai.process_message("Tell me something long", conversation=first))
        await until(lambda: "talker" in calls(backend, "generate"))
        switching = asyncio.create_task(mai.process_message(CODE, conversation=second))
        await mai.manager.preload_model("coder")
        await asyncio.gather(mai._parts.pool.relieve("local"), mai._parts.pool.reap(), mai._parts.pool.unload("talker"))
        assert not answer.done(), "or this proves nothing"
        assert (await answer).text == LONG
        assert (await switching).text
        assert backend.calls[:2] == [("load", "talker"), ("generate", "talker")]
        assert "talker" not in calls(backend, "unload")


async def test_05_a_model_is_not_evicted_before_it_has_served_who_loaded_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp#28698: a model was evicted before its own request reached it. Wanted: reserved before it is ready."""
    count, counting, go_on = FakeBackend.count_tokens, asyncio.Event(), asyncio.Event()

    async def hold_up(self: FakeBackend, instance: str, texts: Sequence[str]) -> Sequence[int]:
        counting.set()
        await go_on.wait()
        return await count(self, instance, texts)

    monkeypatch.setattr(FakeBackend, "count_tokens", hold_up)
    machine = FakeMachine(total=6 * GIB)
    models = (model("talker", 0.6, size_bytes=3 * GIB), coder(size_bytes=3 * GIB))
    async with running(tmp_path, *models, machine=machine, **ALONE) as (mai, backend, _):
        first, second = await mai.new_conversation(), await mai.new_conversation()
        talking = asyncio.create_task(mai.process_message("Hello, how are you?", conversation=first))
        await counting.wait()
        assert calls(backend, "generate") == [], "it is loaded, and has not been asked yet"
        coding = asyncio.create_task(mai.process_message(CODE, conversation=second))
        assert await mai.manager.preload_model("coder") is None
        await asyncio.gather(mai._parts.pool.relieve("local"), mai._parts.pool.reap())
        assert calls(backend, "unload") == []
        go_on.set()
        assert (await talking).message.model == "talker"
        assert (await coding).text
        assert calls(backend, "generate")[0] == "talker"


async def test_06_idle_time_and_requests_never_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama-swap#946: a TTL that met a request wedged a group. Wanted: one owner decides when it starts and ends."""
    unload, leaving_now, may_leave = FakeBackend.unload, asyncio.Event(), asyncio.Event()

    async def slowly(self: FakeBackend, instance: str) -> None:
        leaving_now.set()
        await may_leave.wait()
        await unload(self, instance)

    monkeypatch.setattr(FakeBackend, "unload", slowly)
    memory = {"idle_seconds": 0.02}
    async with running(tmp_path, model("one", token_seconds=0.02), memory=memory, **ALONE) as (mai, backend, _):
        for turn in range(4):
            asking = asyncio.create_task(events_of(mai, f"Question {turn}, answered for longer than models may idle"))
            if turn:  # the model is about to leave
                await asyncio.sleep(0.1)
                may_leave.set()
                await until(lambda wanted=turn: len(calls(backend, "unload")) == wanted)
                leaving_now.clear()
                may_leave.clear()
            async with asyncio.timeout(10):
                assert not [e for e in await asking if isinstance(e, FellBack)], "it left while it was in use"
                await leaving_now.wait()
        may_leave.set()
        await until(lambda: not backend.machine.taken)
        assert calls(backend, "load") == ["one"] * 4
        assert mai._parts.pool.slots == ()


class Hung(FakeBackend):
    """Models in processes of their own, which do not end when they are told to."""

    kind = "hung"
    processes: dict[str, subprocess.Popen[bytes]]

    async def load(self, model: ModelProfile, plan: LoadPlan, *, progress: LoadProgress | None = None) -> LoadedModel:
        loaded = await super().load(model, plan, progress=progress)
        process = await asyncio.to_thread(subprocess.Popen[bytes], ["sleep", "600"])
        self.processes = {**getattr(self, "processes", {}), loaded.instance: process}
        self._instances[loaded.instance].loaded = replace(loaded, pid=process.pid)
        return self._instances[loaded.instance].loaded

    async def unload(self, instance: str) -> None:
        await asyncio.Event().wait()

    async def loaded(self) -> Sequence[LoadedModel]:
        for instance, process in self.processes.items():
            if not psutil.pid_exists(process.pid):
                self.crash(instance)
        return await super().loaded()

    async def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


class HungPlugin:
    @hookimpl
    def mai_register_backends(self) -> list[type[Hung]]:
        return [Hung]


async def test_07_a_model_that_does_not_stop_is_ended_and_its_memory_seen_to_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ollama#14364, #7779: "Stopping..." for ever. Wanted: a deadline, a kill, and a look whether it helped."""
    monkeypatch.setattr(leaving, "UNLOAD_SECONDS", 0.1)
    machine = FakeMachine(total=8 * GIB)
    others = {"hung": {"type": "hung", "machine": machine, "models": [model("old", 0.2, size_bytes=4 * GIB)]}}
    new = model("new", 0.9, size_bytes=5 * GIB)
    async with running(tmp_path, new, machine=machine, others=others, plugins=[HungPlugin()], **ALONE) as (mai, _, _):
        await mai.switch("old")
        await mai.process_message("Hello there")
        [old] = (await mai.get_status()).loaded
        await mai.switch("new")
        async with asyncio.timeout(10):
            assert (await mai.process_message("And now?")).message.model == "new"
        assert old.pid is not None
        assert not psutil.pid_exists(old.pid)
        assert [m.key for m in (await mai.get_status()).loaded] == ["new"]


async def test_08_a_model_is_reloaded_for_its_context_only_when_that_does_not_suffice(tmp_path: Path) -> None:
    """ollama#12783, #8903: another context size forced a reload. Wanted: what is loaded serves as long as it can."""
    async with running(tmp_path, model("one"), **ALONE) as (mai, backend, _):
        [profile] = await backend.models()
        await backend.load(profile, LoadPlan(context=4096))  # by somebody who asked for less than Mai would
        for turn in range(6):
            await mai.process_message(f"Question {turn}: " + "some words " * 150)
        assert calls(backend, "load") == ["one"]
        await mai.process_message("And at length: " + "some words " * 900)
        assert calls(backend, "load") == ["one", "one"], "once, when it has to be"
        [loaded] = (await mai.get_status()).loaded
        assert loaded.plan.context >= 8192


async def test_14_only_what_is_needed_leaves_and_what_is_dear_stays(tmp_path: Path) -> None:
    """llama-swap#158, #319, llama.cpp#21231: eviction blind to memory. Wanted: by what is needed and what is worth."""
    machine = FakeMachine(total=16 * GIB)
    sizes = {"dear": 3, "cheap": 4, "tiny": 1}
    slow = {"dear": 0.4}
    made = [model(key, size_bytes=gib * GIB, load_seconds=slow.get(key, 0.0)) for key, gib in sizes.items()]
    made.append(model("large", size_bytes=6 * GIB))

    async def asked(mai: AsyncMai, key: str) -> None:
        await mai.switch(key)
        assert (await mai.process_message("Hello")).message.model == key

    async with running(tmp_path, *made, machine=machine, **ALONE) as (mai, backend, _):
        for key in ("dear", "dear", "cheap", "tiny"):
            await asked(mai, key)
        assert calls(backend, "unload") == [], "there was room for all three"
        await asked(mai, "large")
        assert calls(backend, "unload") == ["cheap"], "its memory is enough, and it is soon back"
        assert {m.key for m in (await mai.get_status()).loaded} == {"dear", "tiny", "large"}


def test_14_memory_of_a_gpu_counts_where_models_run_on_it() -> None:
    """llama-swap#158: VRAM-aware, asked for since years. Wanted: what fits on the GPU need not fit in main memory."""
    ram = MemoryPool("ram", PoolKind.RAM, 8 * GIB, 4 * GIB)
    gpu = MemoryPool("cuda0", PoolKind.DEVICE, 24 * GIB, 22 * GIB)
    snapshot = ResourceSnapshot((Host(pools=(ram, gpu), cpu=Cpu(8)),), calm_seconds=float("inf"))
    large = model("large", size_bytes=8 * GIB).profile
    small = model("small").profile
    found = feasible(Situation(models=(large, small), snapshot=snapshot, features=TaskFeatures()))
    assert "large" in {c.key for c in found.candidates}
