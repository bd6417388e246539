"""A conversation that comes back to its model: what it is spared, and what must not go wrong on the way."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from embedded_engine import MakeBackend, Reply, ask, backend_in, facts, gone, profile_of

from mai_backends.embedded import keeping
from mai_backends.embedded.backend import EmbeddedBackend
from mai_backends.gguf.facts import read_model
from mai_core.plugin.interfaces import StateKeeper
from mai_core.policy.models import KvType, LoadedModel, LoadPlan, ModelProfile

pytestmark = pytest.mark.weights

ROOT = Path(__file__).parents[3]
PLAN = LoadPlan(context=2048, threads=1)
SHORT = replace(PLAN, context=1024)
LONG_TEXT = facts(108) + " Which is the cheapest?"
TEXT = facts(25) + " Which is the cheapest?"


@pytest.fixture(autouse=True)
def worth(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether a state is worth saving depends on how fast this machine is: here it is, until a test says otherwise."""

    def say(yes: bool) -> None:
        monkeypatch.setattr(keeping, "LEAST_GAIN", float("-inf") if yes else float("inf"))

    monkeypatch.setattr(keeping, "LONGEST_HOLD_UP", float("inf"))
    say(True)
    return say


@pytest.fixture
def states(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "states"


async def talked(backend: EmbeddedBackend, profile: ModelProfile, plan: LoadPlan = SHORT) -> tuple[LoadedModel, Reply]:
    """A loaded model that has answered a long question."""
    loaded = await backend.load(profile, plan)
    return loaded, await ask(backend, loaded.instance, TEXT, max_tokens=8)


async def saved(backend: EmbeddedBackend, profile: ModelProfile, plan: LoadPlan = SHORT) -> tuple[int, Reply]:
    """Tokens of a conversation that was saved before its model left, and the last reply."""
    loaded, reply = await talked(backend, profile, plan)
    assert await backend.save_state(loaded.instance, "talk")
    await backend.unload(loaded.instance)
    return reply.end.usage.prompt_tokens + reply.end.usage.completion_tokens - 1, reply


def kept(states: Path) -> list[Path]:
    return sorted(states.glob("*.kv"))


def left(states: Path) -> list[Path]:
    """Everything that is there."""
    return sorted(states.iterdir()) if states.exists() else []


def drafts(states: Path) -> list[Path]:
    return sorted(states.glob("draft-*"))


async def test_a_model_that_comes_back_need_not_read_again(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    backend = make_backend()
    keeper: StateKeeper = backend
    assert isinstance(backend, StateKeeper)
    loaded = await backend.load(profile, PLAN)
    cold = await ask(backend, loaded.instance, LONG_TEXT)
    assert cold.end.usage.prompt_tokens > 1400
    size = await keeper.save_state(loaded.instance, "talk")
    assert [path.stat().st_size for path in kept(states)] == [size]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (states, *kept(states)))
    turn = (LONG_TEXT, cold.text, "And the dearest?")
    stayed = await ask(backend, loaded.instance, *turn)
    await backend.unload(loaded.instance)
    loaded = await backend.load(profile, PLAN)
    tokens = await keeper.restore_state(loaded.instance, "talk")
    back = await ask(backend, loaded.instance, *turn)
    assert back.text == stayed.text
    assert tokens >= cold.end.usage.prompt_tokens
    assert back.end.usage.cached_tokens == stayed.end.usage.cached_tokens >= 0.97 * tokens
    assert back.first_seconds < 0.1 * cold.first_seconds, "restored beside cold"
    assert len(kept(states)) == 1, "it was of use and stays"
    await keeper.forget_state("talk")
    assert not kept(states)


async def test_another_process_restores_it(make_backend: MakeBackend, profile: ModelProfile) -> None:
    tokens, _ = await saved(make_backend(), profile)
    backend = make_backend()
    loaded = await backend.load(profile, SHORT)
    assert await backend.restore_state(loaded.instance, "talk") == tokens
    assert await backend.restore_state(loaded.instance, "other talk") == 0


async def test_what_has_not_changed_is_not_written_again(
    make_backend: MakeBackend, profile: ModelProfile, states: Path, worth: Callable[[bool], None]
) -> None:
    backend = make_backend()
    loaded, reply = await talked(backend, profile)
    sizes = await asyncio.gather(*(backend.save_state(loaded.instance, "talk") for _ in range(3)))
    assert len(set(sizes)) == 1
    (file,) = kept(states)
    written = file.stat().st_ino
    await ask(backend, loaded.instance, TEXT, reply.text, "Thanks.", max_tokens=4)
    worth(False)
    assert await backend.save_state(loaded.instance, "talk") == sizes[0], "a few tokens more are not worth it"
    assert [path.stat().st_ino for path in kept(states)] == [written]
    worth(True)
    assert await backend.save_state(loaded.instance, "talk") > sizes[0]
    assert [path.stat().st_ino for path in kept(states)] != [written]


async def test_a_short_conversation_is_not_worth_it(
    make_backend: MakeBackend, profile: ModelProfile, states: Path, worth: Callable[[bool], None]
) -> None:
    backend = make_backend()
    loaded = await backend.load(profile, SHORT)
    assert await backend.save_state(loaded.instance, "talk") == 0, "nothing was said yet"
    worth(False)
    await ask(backend, loaded.instance, "Hello", max_tokens=2)
    assert await backend.save_state(loaded.instance, "talk") == 0
    assert not left(states)


async def test_turned_off(make_backend: MakeBackend, profile: ModelProfile, states: Path) -> None:
    backend = make_backend(saved_states=0)
    loaded, _ = await talked(backend, profile)
    assert await backend.save_state(loaded.instance, "talk") == 0
    assert await backend.restore_state(loaded.instance, "talk") == 0
    assert not left(states)


async def test_the_budget_is_kept(make_backend: MakeBackend, profile: ModelProfile, states: Path) -> None:
    known = replace(profile, architecture=read_model([Path(profile.location)]).architecture)
    backend = make_backend(saved_states="12 MB")
    loaded, _ = await talked(backend, known)
    for talk in ("one", "two"):
        assert 6e6 < await backend.save_state(loaded.instance, talk) < 12e6
    assert len(kept(states)) == 1
    assert await backend.restore_state(loaded.instance, "one") == 0
    tiny = make_backend(saved_states="5 MB")
    loaded, _ = await talked(tiny, known)
    assert not kept(states), "what exceeds a smaller budget leaves"
    assert await tiny.save_state(loaded.instance, "three") == 0
    assert not left(states)


async def test_the_state_of_other_weights_is_not_taken(
    make_backend: MakeBackend, starter_gguf: Path, tmp_path: Path
) -> None:
    """The engine would take it: it has the shape of these, and the model would talk nonsense."""
    file = tmp_path / "model.gguf"
    shutil.copy(starter_gguf, file)
    backend = make_backend()
    await saved(backend, profile_of(file))
    replace_by_others(file)
    loaded = await backend.load(profile_of(file), SHORT)
    assert await backend.restore_state(loaded.instance, "talk") == 0
    assert (await ask(backend, loaded.instance, TEXT, max_tokens=2)).end.usage.cached_tokens == 0


async def test_a_smaller_window_or_another_cache_is_another_state(
    make_backend: MakeBackend, profile: ModelProfile
) -> None:
    backend = make_backend()
    tokens, _ = await saved(backend, profile)
    for plan, expected in (
        (replace(SHORT, context=256), 0),
        (replace(SHORT, kv_type=KvType.Q8_0), 0),
        (replace(SHORT, context=1536), tokens),
    ):
        loaded = await backend.load(profile, plan)
        assert await backend.restore_state(loaded.instance, "talk") == expected, plan
        await backend.unload(loaded.instance)


def replace_by_others(file: Path) -> None:
    """Other weights under the same name, of the same size and time."""
    times, changed = file.stat(), bytearray(file.read_bytes())
    changed[-5000] ^= 1
    other = file.with_name("other")
    other.write_bytes(changed)
    os.replace(other, file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("kv_type", [KvType.Q8_0, KvType.Q4_0])
async def test_a_quantised_cache_is_restored(
    make_backend: MakeBackend, profile: ModelProfile, kv_type: KvType, states: Path
) -> None:
    plan = replace(SHORT, kv_type=kv_type)
    backend = make_backend()
    tokens, reply = await saved(backend, profile, plan)
    (file,) = kept(states)
    assert file.stat().st_size == pytest.approx(tokens * 30 * 3 * 2 * 64 * kv_type.bytes_per_element, rel=0.05)
    loaded = await backend.load(profile, plan)
    assert await backend.restore_state(loaded.instance, "talk") == tokens
    back = await ask(backend, loaded.instance, TEXT, reply.text, "And the dearest?", max_tokens=4)
    assert back.end.usage.cached_tokens >= 0.97 * tokens


@pytest.mark.parametrize("damage", ["truncated", "changed"])
async def test_a_damaged_file_never_reaches_the_engine(
    make_backend: MakeBackend, profile: ModelProfile, states: Path, damage: str
) -> None:
    """Given a truncated one it aborts, given a changed one it talks nonsense."""
    backend = make_backend()
    await saved(backend, profile)
    (file,) = kept(states)
    if damage == "truncated":
        os.truncate(file, file.stat().st_size - 100)
    else:
        with file.open("r+b") as content:
            content.seek(10**6)
            content.write(os.urandom(1000))
    loaded = await backend.load(profile, SHORT)
    assert await backend.restore_state(loaded.instance, "talk") == 0
    assert not left(states)
    assert (await ask(backend, loaded.instance, "Hello", max_tokens=4)).text
    assert [model.instance for model in await backend.loaded()] == [loaded.instance]


async def test_a_file_that_the_engine_refuses_is_removed(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    """One of another cache that goes by the right name, as after a change of the engine that nobody told of."""
    backend = make_backend()
    await saved(backend, profile)
    (wanted,) = kept(states)
    await backend.forget_state("talk")
    await saved(backend, profile, replace(SHORT, kv_type=KvType.Q8_0))
    (wrong,) = kept(states)
    wrong.rename(wanted.with_name(".".join((*wanted.name.split(".")[:2], *wrong.name.split(".")[2:]))))
    loaded = await backend.load(profile, SHORT)
    assert await backend.restore_state(loaded.instance, "talk") == 0
    assert not kept(states)
    assert (await ask(backend, loaded.instance, "Hello", max_tokens=4)).text


async def test_a_full_disk_leaves_nothing_half_written(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    """The system takes no more than 2 MB of a file, as it does when a disk or a quota is full."""
    backend = make_backend()
    loaded, _ = await talked(backend, profile)
    assert loaded.pid is not None
    resource.prlimit(loaded.pid, resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    assert await backend.save_state(loaded.instance, "talk") == 0
    assert not left(states)
    assert (await ask(backend, loaded.instance, "Hello", max_tokens=4)).text, "the model goes on"


async def saving(backend: EmbeddedBackend, loaded: LoadedModel, states: Path) -> asyncio.Task[int]:
    """A save in which the engine hangs: what it writes to is a pipe that nobody reads."""
    pipe = states / f"draft-{loaded.pid}-1"
    os.mkfifo(pipe)
    task = asyncio.create_task(backend.save_state(loaded.instance, "talk"))
    assert loaded.pid is not None
    await until_it_opens_a_pipe(loaded.pid)
    return task


async def until_it_opens_a_pipe(pid: int) -> None:
    """A thread of the process waits in the system for someone to open the other end."""
    async with asyncio.timeout(20):
        while not any(where.read_text() == "wait_for_partner" for where in waits(pid)):
            await asyncio.sleep(0.01)


def waits(pid: int) -> list[Path]:
    """Where in the system each thread of a process waits. Linux tells."""
    return list(Path(f"/proc/{pid}/task").glob("*/wchan"))


@pytest.mark.parametrize("how", ["killed", "unloaded", "closed"])
async def test_an_engine_that_ends_while_it_saves(
    make_backend: MakeBackend, profile: ModelProfile, states: Path, how: str
) -> None:
    backend = make_backend()
    loaded, _ = await talked(backend, profile)
    assert loaded.pid is not None
    task = await saving(backend, loaded, states)
    if how == "killed":
        os.kill(loaded.pid, signal.SIGKILL)
    elif how == "unloaded":
        await backend.unload(loaded.instance)
    else:
        await backend.close()
    assert await task == 0
    assert gone(loaded.pid)
    assert await backend.loaded() == []
    assert not left(states)


async def test_a_caller_who_is_cancelled_leaves_a_whole_file(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    backend = make_backend()
    loaded, reply = await talked(backend, profile)
    task = asyncio.create_task(backend.save_state(loaded.instance, "talk"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    began = time.monotonic()
    following = await ask(backend, loaded.instance, TEXT, reply.text, "And the dearest?", max_tokens=2)
    assert following.end.usage.cached_tokens > 250, "the engine lost what it had read"
    assert following.first_seconds < 2.0, time.monotonic() - began
    assert await backend.save_state(loaded.instance, "talk") > 0
    assert len(kept(states)) == 1
    assert not drafts(states)


async def test_a_save_goes_on_to_its_end_without_its_caller(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    """Were it dropped, the engine would go on to write a file that nobody takes or removes."""
    backend = make_backend()
    loaded, _ = await talked(backend, profile)
    task = await saving(backend, loaded, states)
    task.cancel()
    await asyncio.wait({task})
    (pipe,) = drafts(states)
    other_end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # lets the engine go; it then fails, as a pipe is no file
    try:
        async with asyncio.timeout(15):
            while drafts(states):
                await asyncio.sleep(0.01)
    finally:
        os.close(other_end)
    assert (await ask(backend, loaded.instance, "Hello", max_tokens=4)).text


async def test_forgetting_waits_for_a_save_under_way(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    backend = make_backend()
    loaded, _ = await talked(backend, profile)
    task = asyncio.create_task(backend.save_state(loaded.instance, "talk"))
    await asyncio.sleep(0.005)
    await backend.forget_state("talk")
    assert await task > 0
    assert not left(states)


async def test_a_restore_without_effect_is_found_out(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    """The engine says that it restored and reads all of it again, as it does for some architectures."""
    backend = make_backend()
    tokens, reply = await saved(backend, profile)
    loaded = await backend.load(profile, SHORT)
    assert await backend.restore_state(loaded.instance, "talk") == tokens
    client = backend._instances[loaded.instance]._client
    await client._ask("POST", "/slots/0?action=erase", {})
    back = await ask(backend, loaded.instance, TEXT, reply.text, "And the dearest?", max_tokens=2)
    assert back.end.usage.cached_tokens == 0
    await backend._instances[loaded.instance].settle()
    assert not kept(states)
    assert await backend.save_state(loaded.instance, "talk") == 0, "of no use to this model"
    assert await backend.restore_state(loaded.instance, "talk") == 0


async def test_a_changed_conversation_is_not_held_against_the_model(
    make_backend: MakeBackend, profile: ModelProfile, states: Path
) -> None:
    backend = make_backend()
    tokens, _ = await saved(backend, profile)
    loaded = await backend.load(profile, SHORT)
    assert await backend.restore_state(loaded.instance, "talk") == tokens
    changed = await ask(backend, loaded.instance, "In short: " + TEXT, max_tokens=2)
    assert changed.end.usage.cached_tokens < 100
    await backend._instances[loaded.instance].settle()
    assert not kept(states), "it is of another past"
    assert await backend.save_state(loaded.instance, "talk") > 0


async def test_no_instance_has_nothing_to_keep(make_backend: MakeBackend, profile: ModelProfile) -> None:
    backend = make_backend()
    assert await backend.save_state("nobody#1", "talk") == 0
    assert await backend.restore_state("nobody#1", "talk") == 0
    await backend.forget_state("talk")
    loaded, _ = await talked(backend, profile)
    assert loaded.pid is not None
    os.kill(loaded.pid, signal.SIGKILL)
    assert gone(loaded.pid)
    assert await backend.save_state(loaded.instance, "talk") == 0
    assert await backend.loaded() == []


def test_mai_killed_while_it_saves_leaves_no_worker_and_no_draft(
    starter_gguf: Path, tmp_path: Path, states: Path
) -> None:
    program = f"""
import asyncio, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(ROOT)!r}]
from test_embedded_keeping import Path, profile_of, saving, talked
from embedded_engine import backend_in
from mai_backends.embedded import keeping

async def main():
    keeping.LEAST_GAIN = float("-inf")
    backend = backend_in(Path({str(tmp_path)!r}))
    loaded, _ = await talked(backend, profile_of(Path({str(starter_gguf)!r})))
    saves = await saving(backend, loaded, Path({str(states)!r}))
    print(loaded.pid, flush=True)
    await saves

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            assert psutil.pid_exists(worker)
        finally:
            parent.kill()
    assert gone(worker)
    assert len(drafts(states)) == 1

    async def next_mai() -> None:
        backend = backend_in(tmp_path)
        await backend.load(profile_of(starter_gguf), SHORT)
        await backend.close()

    asyncio.run(next_mai())
    assert not left(states)
