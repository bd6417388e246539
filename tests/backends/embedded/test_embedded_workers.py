"""Workers as processes: what they show, what they survive, and that none outlives its reason to be."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from embedded_engine import gone

from mai_backends.embedded.failures import failed_load
from mai_backends.embedded.process import WORKER, Configuration, LoadFailed, WorkerProcess
from mai_core.errors import BackendError, BackendUnavailable, ModelFileError, ModelLoadError, OutOfMemory
from mai_core.policy.models import KvType

ROOT = Path(__file__).parents[3]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def configuration(file: Path, *, context: int = 512, kv_type: KvType = KvType.F16) -> Configuration:
    return Configuration(
        model=str(file), context=context, kv_type=kv_type, gpu_layers=0, threads=1, batch_threads=1, batch=16
    )


async def start(worker: WorkerProcess, chosen: Configuration) -> str:
    return await worker.start(chosen, size_bytes=10**8, silence=30.0, progress=lambda _: None)


async def failure(file: Path, *, context: int = 512) -> BackendError:
    """How the engine itself fails to load a file, without the library looking at it first."""
    worker = await WorkerProcess.spawn()
    try:
        with pytest.raises(LoadFailed) as caught:
            await start(worker, configuration(file, context=context))
    finally:
        await worker.kill()
    return failed_load(file.name, "some-model", caught.value.remains)


@linux
@pytest.mark.weights
async def test_serves_only_who_has_the_key_and_shows_it_to_nobody(starter_gguf: Path) -> None:
    worker, chosen = await WorkerProcess.spawn(), configuration(starter_gguf)
    try:
        address = await start(worker, chosen)
        proc = Path(f"/proc/{worker.pid}")
        assert chosen.api_key.encode() not in (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
        assert chosen.api_key not in repr(chosen)
        async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
            question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
            for key in ("", "wrong"):
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                assert (await http.post("/v1/chat/completions", json=question, headers=headers)).status_code == 401
            assert (await http.get("/slots")).status_code == 401
            right = {"Authorization": f"Bearer {chosen.api_key}", "Origin": "http://evil.example"}
            answer = await http.post("/v1/chat/completions", json=question, headers=right)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] not in ("*", "http://evil.example")
        listening = {c.laddr.ip for c in psutil.Process(worker.pid).net_connections() if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
    finally:
        await worker.kill()


@pytest.mark.weights
async def test_a_quantised_cache_takes_less_memory(starter_gguf: Path) -> None:
    taken = {}
    for kv_type in (KvType.F16, KvType.Q8_0):
        worker = await WorkerProcess.spawn()
        try:
            await start(worker, configuration(starter_gguf, context=8192, kv_type=kv_type))
            footprint = await worker.footprint()
        finally:
            await worker.kill()
        assert footprint is not None
        taken[kv_type] = footprint.anonymous
        assert footprint.file_backed > 90 * 2**20, "weights that nobody counted"
    cache = 8192 * 30 * 3 * 2 * 64  # tokens, layers, heads, keys and values, elements
    saved = cache * (KvType.F16.bytes_per_element - KvType.Q8_0.bytes_per_element)
    assert taken[KvType.F16] - taken[KvType.Q8_0] == pytest.approx(saved, rel=0.15)


async def test_missing(tmp_path: Path) -> None:
    error = await failure(tmp_path / "none.gguf")
    assert isinstance(error, ModelFileError)
    assert error.message == "none.gguf cannot be loaded: the file is not there"
    assert error.remedy == "fetch it again: mai pull some-model"
    assert "No such file" in error.detail


async def test_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    error = await failure(tmp_path / "empty.gguf")
    assert isinstance(error, ModelFileError)
    assert error.message == "empty.gguf cannot be loaded: the file is empty or cannot be read"


async def test_garbage(tmp_path: Path) -> None:
    (tmp_path / "garbage.gguf").write_bytes(bytes(range(256)) * 400)
    error = await failure(tmp_path / "garbage.gguf")
    assert isinstance(error, ModelFileError)
    assert error.message == "garbage.gguf cannot be loaded: the file is not in the GGUF format"


@pytest.mark.weights
@pytest.mark.parametrize("kept", [300, 1_500_000, 50_000_000], ids=["in-header", "in-tokens", "in-weights"])
async def test_truncated(tmp_path: Path, starter_gguf: Path, kept: int) -> None:
    with starter_gguf.open("rb") as whole:
        (tmp_path / "cut.gguf").write_bytes(whole.read(kept))
    error = await failure(tmp_path / "cut.gguf")
    assert isinstance(error, ModelFileError)
    assert error.message == "cut.gguf cannot be loaded: the file is truncated"


@pytest.mark.weights
@pytest.mark.parametrize(
    ("old", "new", "kind", "why"),
    [
        (b"llama.block_count", b"llama.block_xxxxx", ModelFileError, "key not found in model: llama.block_count"),
        (b"\x00llama\x0c\x00", b"\x00lxxma\x0c\x00", ModelLoadError, "unknown model architecture: 'lxxma'"),
    ],
    ids=["key", "architecture"],
)
async def test_bad_metadata(
    tmp_path: Path, starter_gguf: Path, old: bytes, new: bytes, kind: type[BackendError], why: str
) -> None:
    write_changed(starter_gguf, tmp_path / "odd.gguf", old, new)
    error = await failure(tmp_path / "odd.gguf")
    assert type(error) is kind
    assert why in error.message


def write_changed(original: Path, copy: Path, old: bytes, new: bytes) -> None:
    content = original.read_bytes()
    assert old in content
    copy.write_bytes(content.replace(old, new, 1))


@pytest.mark.weights
async def test_more_context_than_memory(starter_gguf: Path) -> None:
    error = await failure(starter_gguf, context=psutil.virtual_memory().total // 11_000)
    assert isinstance(error, OutOfMemory)
    assert "insufficient memory" in error.detail


async def test_an_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('no engine for this machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = await WorkerProcess.spawn()
    try:
        with pytest.raises(BackendUnavailable, match="no engine for this machine"):
            await start(worker, configuration(tmp_path / "any.gguf"))
    finally:
        await worker.kill()


async def test_what_the_engine_prints_does_not_disturb_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither on standard output nor as more on standard error than a pipe holds; only its end is kept."""
    noise = "import os, sys\nos.write(1, b'{\"ready\": 1}\\n')\nprint('noise')\n"
    flood = "os.write(2, b'x' * 300_000)\nos.write(2, b'the end')\nraise ImportError('enough')\n"
    (tmp_path / "xllamacpp.py").write_text(noise + flood)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = await WorkerProcess.spawn()
    try:
        with pytest.raises(BackendUnavailable, match="enough"):
            await start(worker, configuration(tmp_path / "any.gguf"))
        assert await worker.ended(within=5.0)
        assert worker.remains.stderr.endswith("the end")
        assert len(worker.remains.stderr) == 64 * 1024
    finally:
        await worker.kill()


async def test_a_load_without_a_sign_of_life_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = await WorkerProcess.spawn()
    try:
        with pytest.raises(LoadFailed) as caught:
            await worker.start(configuration(tmp_path / "any.gguf"), size_bytes=1, silence=1.0, progress=lambda _: None)
        assert caught.value.remains.code is None
        error = failed_load("any.gguf", "any", caught.value.remains)
        assert type(error) is ModelLoadError
        assert error.message == "any.gguf cannot be loaded: its process does not answer"
    finally:
        await worker.kill()
    assert gone(worker.pid)


@contextmanager
def bare_worker() -> Iterator[subprocess.Popen[bytes]]:
    """A worker that waits for its configuration, past its preparations."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-P", WORKER], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as process:
        try:
            prepared(process.pid)
            yield process
        finally:
            process.kill()


def prepared(pid: int) -> None:
    """Wait until a worker has made its arrangements with the system, the last of which is to be the first to go."""
    wait_for(lambda: Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "500")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@linux
def test_survives_an_interrupt_from_the_terminal() -> None:
    with bare_worker() as process:
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.wait(2) == -signal.SIGTERM


@linux
@pytest.mark.parametrize("loading", [False, True])
def test_leaves_when_its_input_closes(loading: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it loads."""
    (tmp_path / "xllamacpp.py").write_text(f"open({str(tmp_path / 'loading')!r}, 'w')\nimport time\ntime.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with bare_worker() as process:
        assert process.stdin is not None
        if loading:
            process.stdin.write(b"{}\n")
            process.stdin.flush()
            wait_for(lambda: (tmp_path / "loading").exists())
        process.stdin.close()
        assert process.wait(2) == 0


@linux
def test_dies_with_a_parent_whose_pipe_stays_open() -> None:
    """The second belt: another process still holds the writing end of the worker's input."""
    start = f"subprocess.Popen([sys.executable, '-P', {str(WORKER)!r}])"
    program = f"import subprocess, sys; print({start}.pid, flush=True); input()"
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-c", program], stdin=reading, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            prepared(worker)
            parent.kill()
            assert gone(worker)
        finally:
            parent.kill()
            os.close(writing)
            os.close(reading)


@pytest.mark.weights
def test_dies_with_a_parent_that_is_killed(starter_gguf: Path, tmp_path: Path) -> None:
    """A whole parent with a loaded model, ended by what it cannot catch."""
    program = f"""
import asyncio, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(ROOT)!r}]
from embedded_engine import PLAN, Path, backend_in, profile_of

async def main():
    backend = backend_in(Path({str(tmp_path)!r}))
    print((await backend.load(profile_of(Path({str(starter_gguf)!r})), PLAN)).pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            assert psutil.Process(worker).memory_info().rss > 10**8
            assert os.getsid(worker) == worker, "it would get the terminal's signals"
        finally:
            parent.kill()
    assert gone(worker)


async def test_cancelling_a_kill_does_not_leave_a_worker() -> None:
    worker = await WorkerProcess.spawn()
    killing = asyncio.ensure_future(worker.kill())
    await asyncio.sleep(0)
    killing.cancel()
    await asyncio.gather(killing, return_exceptions=True)
    await asyncio.to_thread(gone, worker.pid)
    assert not psutil.pid_exists(worker.pid)
