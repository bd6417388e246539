"""What the SDK leaves to its caller: deadlines, tokens, broken sockets, silence, and nothing left over."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from pathlib import Path

import lmstudio
import pytest
from lmstudio_home import ROOT, free_port
from lmstudio_world import KEY, REPLY, MakeBackend, server_process, sockets_to

from mai_backends.lmstudio import client, discovery, engine
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import AccessDenied, BackendUnavailable, ModelStalled, SettingsError
from mai_core.policy.messages import GenerationOptions, Message, Role
from mai_core.policy.models import LoadPlan
from tests.standins.apart import freeze
from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, StandInModel

TOKEN = "sk-lm-abcdefgh:0123456789abcdefghij"
SHOWS_TOKENS = "api_token" in inspect.signature(lmstudio.AsyncClient).parameters
PLAN = LoadPlan(context=1024)
SAID = (Message(role=Role.USER, content="Hello"),)


async def instance_of(backend: LMStudioBackend) -> str:
    (model,) = await backend.models()
    return (await backend.load(model, PLAN)).instance


async def text(backend: LMStudioBackend, instance: str, options: GenerationOptions | None = None) -> str:
    async with aclosing(backend.generate(instance, SAID, options or GenerationOptions())) as stream:
        return "".join([getattr(event, "text", "") async for event in stream])


async def test_a_frozen_server_is_noticed_by_our_own_clock(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_process("--token-seconds", "0.05", "--reply", "word " * 60) as (address, process):
        backend = make_backend(url=address, rpc_timeout=2.5)
        instance = await instance_of(backend)
        stream = backend.generate(instance, SAID, GenerationOptions(token_deadline=0.5))
        await anext(stream)
        freeze(process)
        began = time.monotonic()
        with pytest.raises(ModelStalled):
            async for _ in stream:
                pass
        assert time.monotonic() - began < 15.0, "the SDK itself takes 40 s"
        for ask in (backend.models, backend.loaded):
            began = time.monotonic()
            with pytest.raises(BackendUnavailable):
                await ask()
            assert time.monotonic() - began < 15.0
        monkeypatch.setattr(engine, "LOADED_SECONDS", 60.0)
        monkeypatch.setattr(engine, "LOADED_WITH_CONNECTING_SECONDS", 60.0)
        monkeypatch.setattr(discovery, "CONFIGURED_SECONDS", 60.0)
        async with asyncio.timeout(6.0):
            with pytest.raises(BackendUnavailable):
                await backend.loaded()
        process.send_signal(signal.SIGCONT)
        assert (await text(backend, instance)).startswith("word")
        assert [loaded.instance for loaded in await backend.loaded()] == [instance]


async def test_closing_does_not_wait_for_a_frozen_server(make_backend: MakeBackend) -> None:
    tasks = asyncio.all_tasks()
    with server_process() as (address, process):
        backend = make_backend(url=address)
        await instance_of(backend)
        freeze(process)
        began = time.monotonic()
        await backend.close()
        assert time.monotonic() - began < 20.0
    async with asyncio.timeout(20.0):
        while asyncio.all_tasks() != tasks:
            await asyncio.sleep(0.01)


async def test_a_killed_server_has_nothing_loaded(make_backend: MakeBackend) -> None:
    with server_process() as (address, process):
        backend = make_backend(url=address)
        await instance_of(backend)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(BackendUnavailable):
            await backend.models()
        await backend.close()


async def test_all_who_want_a_connection_share_one(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    backend = make_backend(url=standin.host)
    await asyncio.gather(*(backend.models() for _ in range(8)))
    assert len(standin._sessions) == 5, "one client has five sockets"


async def test_one_who_gives_up_does_not_take_it_from_the_others(
    make_backend: MakeBackend, standin: LMStudioStandIn
) -> None:
    backend = make_backend(url=standin.host, connect_timeout=20.0)
    standin.fault = Fault.HANGS_AT_AUTH
    asking = [asyncio.create_task(backend.models()) for _ in range(2)]
    await asyncio.sleep(0.3)
    asking[0].cancel()
    standin.fault = None
    with pytest.raises(asyncio.CancelledError):
        await asking[0]
    assert [model.key for model in await asking[1]] == [KEY]


async def test_a_hung_connection_costs_all_together_one_deadline(
    make_backend: MakeBackend, standin: LMStudioStandIn
) -> None:
    standin.fault = Fault.HANGS_AT_AUTH
    backend = make_backend(url=standin.host, connect_timeout=4.0)
    began = time.monotonic()
    answers = await asyncio.gather(*(backend.models() for _ in range(4)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {BackendUnavailable}
    assert time.monotonic() - began < 4 * 4.0


async def test_a_retired_connection_lasts_as_long_as_it_is_used(
    make_backend: MakeBackend,
) -> None:
    model = StandInModel(key=KEY, reply=REPLY, token_seconds=0.3)
    with LMStudioStandIn([model]) as standin:
        backend = make_backend(url=standin.host, rpc_timeout=1.5)
        instance = await instance_of(backend)
        answering = asyncio.create_task(text(backend, instance))
        while not standin.generating:
            await asyncio.sleep(0.01)
        standin.fault = Fault.HANGS_AT_LISTING
        with pytest.raises(BackendUnavailable, match=r"did not answer listDownloadedModels within 1\.5 s"):
            await backend.models()
        standin.fault = None
        assert await backend.models()
        assert await answering == REPLY
        async with asyncio.timeout(20.0):
            while sockets_to(standin.port) > 5:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("spec", ["", "env:MY_TOKEN"])
async def test_a_token_is_shown_where_the_sdk_can(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.setenv("MY_TOKEN" if spec else "LM_API_TOKEN", TOKEN)
    with LMStudioStandIn(token=TOKEN) as standin:
        backend = make_backend(url=standin.host, api_token=spec)
        if SHOWS_TOKENS:
            assert await backend.models()
        else:
            with pytest.raises(AccessDenied, match="cannot show the one that is set") as caught:
                await backend.models()
            assert caught.value.remedy == "pip install --upgrade --pre lmstudio"


async def test_what_is_missing_where_a_token_is_wanted(make_backend: MakeBackend) -> None:
    with LMStudioStandIn(token=TOKEN) as standin:
        with pytest.raises(AccessDenied, match="wants an API token") as caught:
            await make_backend(url=standin.host).models()
        assert "mai config set backends.mine.api_token env:NAME" in caught.value.remedy
        assert ("pip install --upgrade --pre lmstudio; " in caught.value.remedy) is not SHOWS_TOKENS


async def test_a_wrong_token_is_refused(make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_API_TOKEN", TOKEN[:-1] + "X")
    told = "refuses the API token it is shown" if SHOWS_TOKENS else "cannot show"
    with LMStudioStandIn(token=TOKEN) as standin:
        with pytest.raises(AccessDenied, match=told) as caught:
            await make_backend(url=standin.host).models()
        assert TOKEN[:-1] not in f"{caught.value} {caught.value.detail}"


@pytest.mark.skipif(not SHOWS_TOKENS, reason="this SDK shows no tokens")
async def test_what_is_no_token(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, standin: LMStudioStandIn
) -> None:
    monkeypatch.setenv("LM_API_TOKEN", "hunter2")
    with pytest.raises(AccessDenied, match="not one of LM Studio's") as caught:
        await make_backend(url=standin.host).models()
    assert "hunter2" not in f"{caught.value} {caught.value.detail}"


async def test_no_token_belongs_in_the_settings(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    with pytest.raises(SettingsError, match=r"backends\.mine\.api_token"):
        await make_backend(url=standin.host, api_token=TOKEN).models()


async def test_nothing_is_left_behind(make_backend: MakeBackend, standin: LMStudioStandIn) -> None:
    tasks, threads = asyncio.all_tasks(), {thread for thread in threading.enumerate() if "asyncio" not in thread.name}
    for _ in range(3):
        backend = make_backend(url=standin.host)
        instance = await instance_of(backend)
        standin.fault, standin.fault_times = Fault.DROPS_THE_SOCKET, 1
        with pytest.raises(Exception, match="broke"):
            await text(backend, instance)
        await backend.loaded()
        await backend.close()
        await backend.close()
    async with asyncio.timeout(20.0):
        while asyncio.all_tasks() != tasks or standin.instances:
            await asyncio.sleep(0.01)
    assert {thread for thread in threading.enumerate() if "asyncio" not in thread.name} == threads


def test_the_sdk_says_nothing(tmp_path: Path) -> None:
    """Neither on the terminal nor to whoever logs everything: it would quote what models write."""
    code = f"""
import asyncio, logging, warnings
from pathlib import Path
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import MaiError
from mai_core.plugin.interfaces import BackendContext
from mai_core.policy.messages import *
from mai_core.policy.models import LoadPlan
from tests.standins.faults import Fault
from tests.standins.lmstudio import LMStudioStandIn, Quirk, StandInModel

warnings.simplefilter("always")
records = []
class Keep(logging.Handler):
    def emit(self, record): records.append((record.name, record.levelname, record.getMessage(), record.__dict__))
root = Path({str(tmp_path)!r})

async def main(standin):
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    for fault in (None, Fault.DROPS_THE_SOCKET, Fault.HANGS_MID_STREAM, Fault.INVALID_UTF8, Fault.UNLOADS_MID_STREAM):
        backend = LMStudioBackend(BackendContext(name="lm", options={{"url": standin.host, "home": str(root)}},
                                                 data_dir=root, cache_dir=root, state_dir=root))
        (model,) = await backend.models()
        loaded = await backend.load(model, LoadPlan(context=512))
        standin.fault, standin.fault_times = fault, 1
        try:
            said = [Message(role=Role.USER, content="SECRET")]
            async for event in backend.generate(loaded.instance, said, GenerationOptions(token_deadline=0.3)): pass
        except MaiError: pass
        standin.fault = None
        await backend.close()
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level), "logging was configured"

async def both(standin):
    await main(standin)
    logging.getLogger().addHandler(Keep())
    logging.getLogger().setLevel(logging.DEBUG)
    await main(standin)

with LMStudioStandIn([StandInModel(key="m", reply="SECRET " * 20)]) as standin:
    standin.quirks.add(Quirk.NEWER_PACKET)
    asyncio.run(both(standin))
others = ("asyncio", "httpx", "httpcore", "websockets")
loud = {{name for name, *_ in records if not name.startswith(("mai.", *others))}}
assert not loud, loud
assert not [r for r in records if r[0].startswith("mai.") and "SECRET" in str(r)], "what was written is in a log"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_logger_of_the_sdk_is_known() -> None:
    """A further class of the SDK that logs is one more name to be muted."""
    sources = Path(inspect.getfile(lmstudio)).parent
    used = ("_ws_impl.py", "async_api.py", "json_api.py")
    logging_classes = sum((sources / name).read_text().count("new_logger(type(self).__name__)") for name in used)
    assert logging_classes == 7
    assert {"AsyncWebsocketHandler", "ChannelHandler"} <= set(client._LOGGERS)


async def test_a_port_nobody_listens_on(make_backend: MakeBackend) -> None:
    backend = make_backend(url=f"127.0.0.1:{free_port()}")
    assert await backend.loaded() == ()
    with pytest.raises(BackendUnavailable):
        await backend.models()
    assert await backend.loaded() == ()
