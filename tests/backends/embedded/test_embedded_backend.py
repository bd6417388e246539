"""Loading, unloading and breaking down, as the core sees it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from embedded_engine import PLAN, MakeBackend, ask, gone, profile_of, said

from mai_backends.embedded import process
from mai_backends.embedded.backend import EmbeddedBackend
from mai_backends.embedded.plugin import mai_register_backends
from mai_core.errors import (
    BackendError,
    BackendUnavailable,
    ModelCrashed,
    ModelFileError,
    ModelStalled,
    OutOfMemory,
    SettingsError,
)
from mai_core.plugin.interfaces import Backend, ModelFetcher
from mai_core.policy.messages import GenerationOptions
from mai_core.policy.models import LoadPlan, ModelProfile

weights = pytest.mark.weights


def test_is_a_backend_and_a_fetcher(make_backend: MakeBackend) -> None:
    kinds: list[type[Backend]] = mai_register_backends()
    fetcher: ModelFetcher = make_backend()
    assert kinds == [EmbeddedBackend]
    assert isinstance(fetcher, ModelFetcher)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"thread": 2}, r'backends\.mine\.thread: .*did you mean "threads"\?'),
        ({"colour": 2}, r"backends\.mine\.colour: .*there are: threads, models_dirs"),
        ({"threads": -1}, r"backends\.mine\.threads: input should be greater than or equal to 0"),
        ({"load_timeout": "soon"}, r"backends\.mine\.load_timeout: input should be a valid number"),
    ],
)
def test_wrong_options_are_named(make_backend: MakeBackend, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        make_backend(**options)


@weights
async def test_lists_what_is_on_this_disk(make_backend: MakeBackend, starter_gguf: Path, second_gguf: Path) -> None:
    models = await make_backend(models_dirs=[str(starter_gguf.parent), str(second_gguf.parent)]).models()
    assert {starter_gguf, second_gguf} <= {Path(model.location) for model in models}


@weights
async def test_unload_gives_all_memory_back(make_backend: MakeBackend, profile: ModelProfile) -> None:
    backend = make_backend()
    loaded = await backend.load(profile, PLAN)
    assert loaded.pid is not None
    worker = psutil.Process(loaded.pid)
    assert loaded.footprint.ram == pytest.approx(worker.memory_info().rss, rel=0.05)
    assert loaded.footprint.file_backed > profile.size_bytes * 0.9
    assert loaded.footprint.anonymous > PLAN.context * 30 * 3 * 2 * 64 * 2, "less than the cache alone takes"
    await backend.unload(loaded.instance)
    assert not psutil.pid_exists(loaded.pid), "still there when unload returned"
    assert not psutil.Process().children()


@weights
async def test_two_models_at_once(make_backend: MakeBackend, starter_gguf: Path, second_gguf: Path) -> None:
    backend = make_backend()
    models = await asyncio.gather(*(backend.load(profile_of(file), PLAN) for file in (starter_gguf, second_gguf)))
    assert len({model.pid for model in models}) == 2
    assert {model.instance for model in await backend.loaded()} == {model.instance for model in models}
    question = "What is the capital of France?"
    for answer in await asyncio.gather(*(ask(backend, model.instance, question, max_tokens=8) for model in models)):
        assert "Paris" in answer.text
    await backend.unload(models[0].instance)
    assert [model.instance for model in await backend.loaded()] == [models[1].instance]


@weights
async def test_tells_how_it_loaded(make_backend: MakeBackend, profile: ModelProfile) -> None:
    backend = make_backend(threads=2)
    plan = (await backend.load(profile, LoadPlan(context=512))).plan
    assert plan == LoadPlan(context=512, threads=2, batch=plan.batch)
    assert 16 <= plan.batch <= 64
    free = (await make_backend().load(profile, LoadPlan(context=512))).plan.threads
    assert 1 <= free <= len(os.sched_getaffinity(0))


@weights
async def test_killed_between_replies(make_backend: MakeBackend, profile: ModelProfile) -> None:
    backend = make_backend()
    loaded = await backend.load(profile, PLAN)
    assert loaded.pid is not None
    process = psutil.Process(loaded.pid)
    os.kill(loaded.pid, signal.SIGKILL)
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)  # the loop stays blocked on purpose: it has not heard of the death yet
    assert await backend.loaded() == [], "listed though it is gone"
    with pytest.raises(ModelCrashed):
        await ask(backend, loaded.instance, "Hello")
    assert (await ask(backend, (await backend.load(profile, PLAN)).instance, "Hello")).text


@weights
async def test_killed_during_a_reply(make_backend: MakeBackend, profile: ModelProfile) -> None:
    backend = make_backend()
    loaded = await backend.load(profile, PLAN)
    assert loaded.pid is not None
    stream = backend.generate(loaded.instance, said("Tell a long story."), GenerationOptions())
    await anext(stream)
    os.kill(loaded.pid, signal.SIGKILL)
    with pytest.raises(ModelCrashed, match="was killed by SIGKILL"):
        async for _ in stream:
            pass
    assert await backend.loaded() == []


@weights
async def test_weights_that_shrink_on_disk(make_backend: MakeBackend, starter_gguf: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shrinks.gguf"
    shutil.copy(starter_gguf, copy)
    backend = make_backend()
    loaded = await backend.load(profile_of(copy), PLAN)
    os.truncate(copy, 1_000_000)
    with pytest.raises(ModelCrashed, match=r"SIGBUS.*changed on disk"):
        await ask(backend, loaded.instance, "Hello")
    with pytest.raises(ModelFileError):
        await backend.load(profile_of(copy), PLAN)


@weights
async def test_silence_is_a_stall(make_backend: MakeBackend, profile: ModelProfile) -> None:
    backend = make_backend()
    loaded = await backend.load(profile, PLAN)
    assert loaded.pid is not None
    options = GenerationOptions(first_token_deadline=20.0, token_deadline=1.0)
    stream = backend.generate(loaded.instance, said("Tell a long story."), options)
    await anext(stream)
    os.kill(loaded.pid, signal.SIGSTOP)
    with pytest.raises(ModelStalled, match="no token for 1 s"):
        async for _ in stream:
            pass
    with pytest.raises(ModelStalled, match=r"no token for 0\.5 s"):
        await ask(backend, loaded.instance, "Hello", first_token_deadline=0.5)
    await backend.unload(loaded.instance)
    assert gone(loaded.pid)


@weights
@pytest.mark.parametrize(
    ("killed", "error"), [([0, 1], OutOfMemory), ([7, 7], ModelCrashed)], ids=["for want of memory", "by somebody"]
)
async def test_a_worker_is_killed_during_a_load(
    make_backend: MakeBackend,
    second_gguf: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed: list[int],
    error: type[BackendError],
) -> None:
    counts = iter(killed)
    monkeypatch.setattr(process, "_oom_kills", lambda: next(counts, killed[-1]))
    backend = make_backend()
    loading = asyncio.ensure_future(backend.load(profile_of(second_gguf), PLAN))
    worker = await child_with(2**27)
    worker.kill()
    with pytest.raises(error, match=r"killed its process|killed by SIGKILL"):
        await loading
    assert await backend.loaded() == []


@weights
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_a_load_that_is_not_wanted_any_more(make_backend: MakeBackend, second_gguf: Path, how: str) -> None:
    backend = make_backend()
    loading = asyncio.ensure_future(backend.load(profile_of(second_gguf), PLAN))
    worker = await child_with(2**27)
    if how == "cancel":
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
    else:
        await backend.close()
        with pytest.raises(BackendUnavailable, match="was closed"):
            await loading
    assert not psutil.pid_exists(worker.pid)
    assert await backend.loaded() == []


async def child_with(resident: int) -> psutil.Process:
    """The worker of a load in flight, as soon as it has taken that much memory."""
    async with asyncio.timeout(20):
        while True:
            for child in psutil.Process().children():
                with suppress(psutil.Error):
                    if child.memory_info().rss > resident:
                        return child
            await asyncio.sleep(0.01)


@weights
@pytest.mark.parametrize("kept", [0, 40, 2_000_000], ids=["empty", "header", "truncated"])
async def test_a_damaged_file_is_one_clear_line(
    make_backend: MakeBackend, starter_gguf: Path, tmp_path: Path, kept: int
) -> None:
    damaged = tmp_path / "damaged.gguf"
    with starter_gguf.open("rb") as whole:
        damaged.write_bytes(whole.read(kept))
    with pytest.raises(ModelFileError, match=r"damaged\.gguf") as caught:
        await make_backend().load(profile_of(damaged), PLAN)
    assert "\n" not in str(caught.value)
    assert not psutil.Process().children()


@weights
async def test_corrupted_weights_are_never_loaded(
    make_backend: MakeBackend, starter_gguf: Path, profile: ModelProfile
) -> None:
    """They load without complaint and answer nonsense: only the checksum tells."""
    with pytest.raises(ModelFileError, match="corrupted"):
        await make_backend().load(replace(profile, sha256="0" * 64), PLAN)
    assert not psutil.Process().children()
