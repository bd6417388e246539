"""Starting LM Studio, and ending what was started, with an ``lms`` that starts the stand-in as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from lmstudio_home import Home
from lmstudio_world import MakeBackend, mai_process, noted, said

from mai_backends.lmstudio.absence import ServerGone
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import BackendUnavailable, EngineAbsent
from mai_core.policy.messages import GenerationOptions, Message, Role
from mai_core.policy.models import LoadPlan, ModelProfile

MakeHome = Callable[..., Home]
WANTED = ModelProfile(key="qwen2.5-0.5b-instruct", backend="mine", location="qwen2.5-0.5b-instruct")
PLAN = LoadPlan(context=512)


async def listed(backend: LMStudioBackend, seconds: float = 60.0) -> list[str]:
    """The keys of its models as soon as there are any; no listing takes long meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        began = time.monotonic()
        try:
            return [model.key for model in await backend.models()]
        except (EngineAbsent, ServerGone):
            assert time.monotonic() - began < 5.0, "a listing waited for the start"
            await asyncio.sleep(0.05)
    raise AssertionError("it was not started")


async def test_a_long_session_is_worth_a_start(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home(delay=0.3)
    backend = make_backend(home=str(home.path), autostart_after=3.0)
    with pytest.raises(EngineAbsent, match=r"installed but not running; Mai starts it in a session of 3 s"):
        await backend.models()
    assert home.calls == []
    await noted(backend, "starting LM Studio")
    assert await listed(backend) == [WANTED.key]
    await noted(backend, "started by Mai")
    server = home.server
    assert server is not None
    await backend.close()
    assert home.calls == ["daemon up --json", "daemon down"]
    assert await gone(server)


async def gone(pid: int) -> bool:
    """Whether a process ends within a moment; nobody may be there to bury it."""
    for _ in range(2000):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_short_session_is_not(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home()
    backend = make_backend(home=str(home.path), autostart_after=60)
    with pytest.raises(EngineAbsent):
        await backend.models()
    await backend.close()
    assert home.calls == []


async def test_a_model_that_is_wanted_is_worth_it_at_once(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home()
    backend = make_backend(home=str(home.path), autostart_after=60)
    with pytest.raises(EngineAbsent):
        await backend.models()
    loads = await asyncio.gather(*(backend.load(WANTED, PLAN) for _ in range(2)))
    assert {load.key for load in loads} == {WANTED.key}
    assert home.calls == ["daemon up --json"], "started twice"


async def test_it_may_be_turned_off(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home()
    backend = make_backend(home=str(home.path), autostart=False)
    with pytest.raises(EngineAbsent, match="set autostart: true"):
        await backend.models()
    with pytest.raises(EngineAbsent):
        await backend.load(WANTED, PLAN)
    assert home.calls == []


async def test_an_older_lms_starts_a_server(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home(knows=("server",))
    backend = make_backend(home=str(home.path))
    await backend.load(WANTED, PLAN)
    await backend.close()
    assert home.calls == ["daemon up --json", "server start", "server stop"]
    assert home.server is None


async def test_an_lms_that_stays_is_ended(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home(stays=True)
    backend = make_backend(home=str(home.path))
    await backend.load(WANTED, PLAN)
    await backend.close()
    assert [child for child in psutil.Process().children() if "lms" in " ".join(child.cmdline())] == []


async def test_a_start_that_fails_is_told(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home(fails=True)
    backend = make_backend(home=str(home.path))
    with pytest.raises(BackendUnavailable, match="could not be started: error: the application cannot be opened"):
        await backend.load(WANTED, PLAN)
    assert backend.note == "LM Studio could not be started: error: the application cannot be opened"
    with pytest.raises(EngineAbsent, match="could not be started"):
        await backend.models()
    await backend.close()
    assert home.calls == ["daemon up --json", "server start"], "what failed was tried again, or ended"


async def test_a_start_that_hangs_is_given_up(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home(delay=30)
    backend = make_backend(home=str(home.path), start_timeout=0.7)
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match=r"did not answer within 0\.7 s"):
        await backend.load(WANTED, PLAN)
    assert time.monotonic() - began < 15.0


async def test_an_lms_that_cannot_be_run(make_backend: MakeBackend, tmp_path: Path) -> None:
    lms = tmp_path / "home/bin/lms"
    lms.parent.mkdir(parents=True)
    lms.write_text("#!/no/such/interpreter\n")
    lms.chmod(0o755)
    backend = make_backend(home=str(tmp_path / "home"))
    with pytest.raises(BackendUnavailable, match="could not be started: No such file"):
        await backend.load(WANTED, PLAN)


async def test_closing_while_it_starts(make_backend: MakeBackend, make_home: MakeHome) -> None:
    tasks = asyncio.all_tasks()
    home = make_home(delay=30)
    backend = make_backend(home=str(home.path), autostart_after=0)
    with pytest.raises(EngineAbsent):
        await backend.models()
    await noted(backend, "starting")
    while not home.calls:
        await asyncio.sleep(0.02)
    began = time.monotonic()
    await backend.close()
    assert time.monotonic() - began < 15.0
    assert asyncio.all_tasks() == tasks
    assert [child for child in psutil.Process().children() if "lms" in " ".join(child.cmdline())] == []


async def test_what_others_use_stays(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home()
    starter, other = make_backend(home=str(home.path)), make_backend(home=str(home.path))
    await starter.load(WANTED, PLAN)
    loaded = await other.load(WANTED, PLAN)
    assert {(each.key, each.owned) for each in await other.loaded()} == {(WANTED.key, True), (WANTED.key, False)}
    await starter.close()
    assert home.calls == ["daemon up --json"]
    assert home.server is not None
    os.kill(home.server, 0)
    assert [each.instance for each in await other.loaded()] == [loaded.instance]


async def test_what_runs_is_not_started(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home()
    first = make_backend(home=str(home.path))
    await first.load(WANTED, PLAN)
    second = make_backend(home=str(home.path), autostart_after=0)
    assert await listed(second) == [WANTED.key]
    assert "found on port" in second.note
    await second.close()
    assert home.calls == ["daemon up --json"], "ended what another one started"


async def test_a_server_that_died_is_started_again(make_backend: MakeBackend, make_home: MakeHome) -> None:
    home = make_home()
    somebody, backend = make_backend(home=str(home.path)), make_backend(home=str(home.path))
    await somebody.load(WANTED, PLAN)
    assert await listed(backend) == [WANTED.key]
    loaded = await backend.load(WANTED, PLAN)
    assert home.server is not None
    os.kill(home.server, signal.SIGKILL)
    with pytest.raises(BackendUnavailable, match=r"stopped answering at .*; Mai starts it again$") as caught:
        async for _ in backend.generate(loaded.instance, (Message(role=Role.USER, content="x"),), GenerationOptions()):
            pass
    assert not isinstance(caught.value, EngineAbsent)
    assert await listed(backend) == [WANTED.key]
    assert home.calls == ["daemon up --json"] * 2
    await noted(backend, "started again by Mai")


async def test_what_mai_started_is_not_said_to_be_there_when_it_died(
    make_backend: MakeBackend, make_home: MakeHome
) -> None:
    home = make_home()
    backend = make_backend(home=str(home.path))
    await backend.load(WANTED, PLAN)
    assert backend.note == "started by Mai"
    assert home.server is not None
    os.kill(home.server, signal.SIGKILL)
    await no_longer(home.port)
    with pytest.raises(BackendUnavailable) as caught:
        await backend.models()
    assert "nobody listens there any more" in caught.value.message
    assert caught.value.remedy == "Mai starts it again when one of its models is wanted"
    assert backend.note == ""
    assert await backend.loaded() == []
    await backend.load(WANTED, PLAN)
    assert backend.note == "started again by Mai"


async def no_longer(port: int) -> None:
    """Until nobody listens there."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def test_another_process_can_tell_of_a_start(
    make_backend: MakeBackend, make_home: MakeHome, tmp_path: Path
) -> None:
    home = make_home(delay=30.0)
    work = """
    try:
        await backend.models()
    except EngineAbsent:
        while backend.note != "starting LM Studio":
            await asyncio.sleep(0.02)
    print("starting", flush=True)
    """
    backend = make_backend(home=str(home.path), autostart_after=600)
    assert backend.note == ""
    with mai_process(tmp_path, work, home=str(home.path), autostart_after=0.0) as other:
        assert said(other) == "starting"
        with pytest.raises(EngineAbsent):
            await backend.models()
        assert backend.note == f"process {other.pid} of Mai is starting LM Studio"
    assert backend.note == "", "whoever is dead starts nothing"


async def test_nobody_waits_long_for_a_start(make_backend: MakeBackend, make_home: Callable[..., Home]) -> None:
    home = make_home(delay=8.0)
    backend = make_backend(home=str(home.path), start_wait=0.3)
    with pytest.raises(BackendUnavailable, match="is being started"):
        await backend.load(WANTED, PLAN)
    await noted(backend, "starting LM Studio")
    await noted(backend, "started by Mai", 60.0)
    assert (await backend.load(WANTED, PLAN)).key == WANTED.key
