"""Loading exactly so, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lmstudio_world import KEY, MakeBackend

from mai_backends.lmstudio import loading
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import BackendUnavailable, ModelFileError, ModelLoadError, OutOfMemory
from mai_core.policy.models import KvType, LoadPlan, ModelProfile
from tests.standins.lmstudio import Instance, LMStudioStandIn, Quirk, StandInModel

PLAN = LoadPlan(context=2048)
GIB = 1024**3


class Thrifty(LMStudioStandIn):
    """Gives every instance a window of at most 1024 tokens."""

    def load(self, key: str, identifier: str | None = None, *, context: int = 4096, **more: Any) -> Instance:
        return super().load(key, identifier, context=min(context, 1024), **more)


@pytest.fixture
def slow() -> Iterator[LMStudioStandIn]:
    """A server that takes five seconds to load."""
    with LMStudioStandIn([StandInModel(key=KEY, load_seconds=5.0)]) as server:
        yield server
        assert server.violations == []


async def model_of(backend: LMStudioBackend) -> ModelProfile:
    return next(model for model in await backend.models() if model.key == KEY)


def told(standin: LMStudioStandIn, endpoint: str) -> Any:
    """What the last call to ``endpoint`` said."""
    return [parameter for name, parameter in standin.calls if name == endpoint][-1]


def configured(standin: LMStudioStandIn) -> dict[str, Any]:
    fields = told(standin, "loadModel")["loadConfigStack"]["layers"][0]["config"]["fields"]
    return {field["key"]: field["value"] for field in fields}


@pytest.mark.parametrize(
    ("plan", "gpu", "expected"),
    [
        (LoadPlan(context=4096), "auto", {}),
        (LoadPlan(context=4096, flash_attention=False), "auto", {"llama.flashAttention": False}),
        (LoadPlan(context=4096), "max", {"llama.acceleration.offloadRatio": "max"}),
        (LoadPlan(context=4096), 0.5, {"llama.acceleration.offloadRatio": 0.5}),
        (LoadPlan(context=4096, gpu_layers=0), "max", {"llama.acceleration.offloadRatio": "off"}),
        (LoadPlan(context=4096, gpu_layers=-1), "off", {"llama.acceleration.offloadRatio": "max"}),
        (
            LoadPlan(context=4096, kv_type=KvType.Q8_0),
            "auto",
            {
                "llama.flashAttention": True,
                "llama.kCacheQuantizationType": {"checked": True, "value": "q8_0"},
                "llama.vCacheQuantizationType": {"checked": True, "value": "q8_0"},
            },
        ),
        (
            LoadPlan(context=4096, kv_type=KvType.Q4_0, flash_attention=False),
            "auto",
            {
                "llama.flashAttention": False,
                "llama.kCacheQuantizationType": {"checked": True, "value": "q4_0"},
            },
        ),
    ],
)
async def test_a_plan_is_said_explicitly(
    make_backend: MakeBackend, standin: LMStudioStandIn, plan: LoadPlan, gpu: Any, expected: dict[str, Any]
) -> None:
    backend = make_backend(url=standin.host, gpu=gpu)
    loaded = await backend.load(await model_of(backend), plan)
    always = {"contextLength": 4096, "llama.evalBatchSize": 512}
    assert configured(standin) == {f"llm.load.{key}": value for key, value in {**always, **expected}.items()}
    assert loaded.plan == plan


async def test_what_only_llama_cpp_knows_is_said_to_llama_cpp_alone(make_backend: MakeBackend) -> None:
    with LMStudioStandIn([StandInModel(key=KEY, format="safetensors")]) as standin:
        backend = make_backend(url=standin.host)
        await backend.load(await model_of(backend), LoadPlan(context=512, kv_type=KvType.Q8_0))
        assert configured(standin) == {"llm.load.contextLength": 512}


@pytest.mark.parametrize(("ttl", "said"), [(3600, 3_600_000), (60, 60_000), (0, None), (None, None)])
async def test_a_time_to_live_is_never_zero(
    make_backend: MakeBackend, standin: LMStudioStandIn, ttl: int | None, said: int | None
) -> None:
    backend = make_backend(url=standin.host, ttl_seconds=ttl)
    loaded = await backend.load(await model_of(backend), PLAN)
    assert told(standin, "loadModel").get("ttlMs") == said
    (listed,) = await backend.loaded()
    assert (listed.instance, listed.expires_in) == (loaded.instance, ttl or None)


async def test_own_names_progress_and_footprint(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    shares: list[float] = []
    loaded = await backend.load(await model_of(backend), PLAN, progress=shares.append)
    assert loaded.instance.startswith(f"mai-{KEY}-")
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares == sorted(set(shares))
    assert loaded.footprint.total == standin.models[KEY].memory(2048), "LM Studio's own estimate"
    assert loaded.owned


async def test_the_window_it_really_has(make_backend: MakeBackend) -> None:
    with Thrifty([StandInModel(key=KEY)]) as standin:
        backend = make_backend(url=standin.host)
        assert (await backend.load(await model_of(backend), PLAN)).plan == LoadPlan(context=1024)


async def test_what_the_guardrails_forbid_is_not_tried(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    standin.memory = GIB // 4
    with pytest.raises(OutOfMemory, match=r"LM Studio expects it to take 0\.5 GB"):
        await backend.load(await model_of(backend), PLAN)
    assert "loadModel" not in [endpoint for endpoint, _ in standin.calls]


async def test_an_older_server_is_asked_for_an_estimate_once(
    make_backend: MakeBackend, standin: LMStudioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "ESTIMATE_SECONDS", 0.3)
    standin.quirks.add(Quirk.NO_ESTIMATE)
    backend = make_backend(url=standin.host)
    model = await model_of(backend)
    for _ in range(2):
        loaded = await backend.load(model, PLAN)
        assert loaded.footprint.total > model.size_bytes, "our own prediction"
    assert [endpoint for endpoint, _ in standin.calls].count("estimateModelUsage") == 1
    standin.memory = GIB // 4
    with pytest.raises(OutOfMemory, match=r"it needs about 0\.\d\d GB"):
        await backend.load(model, PLAN)


async def test_what_the_engine_cannot_load(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    model = await model_of(backend)
    standin.quirks.add(Quirk.FAILS_TO_LOAD)
    with pytest.raises(ModelLoadError, match="Unknown model architecture: 'novelty'") as caught:
        await backend.load(model, PLAN)
    assert type(caught.value) is ModelLoadError
    standin.quirks.clear()
    del standin.models[KEY]
    with pytest.raises(ModelFileError, match="LM Studio no longer has"):
        await backend.load(model, PLAN)
    assert await backend.loaded() == []


async def test_a_cancelled_load_is_stopped_there(make_backend: MakeBackend, slow: LMStudioStandIn) -> None:
    backend = make_backend(url=slow.host)
    model = await model_of(backend)
    slow.models[KEY] = StandInModel(key=KEY, load_seconds=12.0)
    for pause in (0.01, 0.3):
        task = asyncio.create_task(backend.load(model, PLAN))
        await asyncio.sleep(pause)
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 8.0, "waited for the load to end"
        assert (slow.loading, slow.instances) == (0, {})


async def test_progress_keeps_a_load_alive(make_backend: MakeBackend, slow: LMStudioStandIn) -> None:
    backend = make_backend(url=slow.host, load_timeout=3.5)
    assert (await backend.load(await model_of(backend), PLAN)).key == KEY


async def test_an_orphan_is_found(make_backend: MakeBackend, slow: LMStudioStandIn) -> None:
    backend = make_backend(url=slow.host, load_timeout=20.0)
    task = asyncio.create_task(backend.load(await model_of(backend), PLAN))
    while not slow.loading:
        await asyncio.sleep(0.01)
    drop_everybody(slow)
    with pytest.raises(BackendUnavailable, match="broke while it loaded"):
        await task
    async with asyncio.timeout(30.0):
        while "unloadModel" not in [endpoint for endpoint, _ in slow.calls] or slow.instances:
            await asyncio.sleep(0.01)


def drop_everybody(standin: LMStudioStandIn) -> None:
    from tests.standins.lmstudio.server import _reset

    assert standin._loop is not None
    for connection in tuple(standin._connections):
        standin._loop.call_soon_threadsafe(_reset, connection)


async def test_what_others_loaded_is_theirs(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    model = await model_of(backend)
    standin.load(KEY, context=8192, ttl=60.0)
    standin.load(KEY, "mai-of-another-process", context=512)
    theirs, another = sorted(await backend.loaded(), key=lambda loaded: -loaded.plan.context)
    assert (theirs.instance, theirs.key, theirs.owned, theirs.expires_in) == (KEY, KEY, False, 60.0)
    assert theirs.plan == LoadPlan(context=8192)
    assert theirs.footprint.total > model.size_bytes
    assert (another.owned, another.expires_in) == (False, None)
    mine = await backend.load(model, PLAN)
    for loaded in (theirs, another, mine):
        await backend.unload(loaded.instance)
    assert set(standin.instances) == {KEY, "mai-of-another-process"}
    await backend.close()
    assert set(standin.instances) == {KEY, "mai-of-another-process"}


async def test_a_variant_goes_by_the_name_that_is_listed(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    await model_of(backend)
    standin.models["variant"] = StandInModel(key=f"{KEY}@q8_0", path="elsewhere.gguf")
    standin.models["moved"] = StandInModel(key="renamed", path=standin.models[KEY].file)
    standin.models["new"] = StandInModel(key="new")
    for name in ("variant", "moved", "new"):
        standin.load(name, name)
    assert {loaded.instance: loaded.key for loaded in await backend.loaded()} == {
        "variant": KEY,
        "moved": KEY,
        "new": "new",
    }


async def test_what_expired_is_not_listed(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    loaded = await backend.load(await model_of(backend), PLAN)
    with contextlib.suppress(KeyError):
        del standin.instances[loaded.instance]
    assert await backend.loaded() == []
    await backend.unload(loaded.instance)
    await backend.close()
    assert "unloadModel" not in [endpoint for endpoint, _ in standin.calls]


async def test_closing_unloads(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    model = await model_of(backend)
    await asyncio.gather(*(backend.load(model, PLAN) for _ in range(3)))
    assert len(standin.instances) == 3
    await backend.close()
    assert standin.instances == {}
    for refused in (backend.models(), backend.load(model, PLAN)):
        with pytest.raises(BackendUnavailable, match="closed"):
            await refused
