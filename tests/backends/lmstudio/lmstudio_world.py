"""What the tests of LM Studio share."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from lmstudio_home import ROOT

from mai_backends.lmstudio.backend import LMStudioBackend

KEY = "qwen2.5-0.5b-instruct"
REPLY = "One two three four five six seven eight nine ten, and that is all there is to be said."

MakeBackend = Callable[..., LMStudioBackend]


def sockets_to(port: int) -> int:
    """How many connections to a port this process has open."""
    return sum(
        bool(connection.raddr) and connection.raddr.port == port and connection.status == psutil.CONN_ESTABLISHED
        for connection in psutil.Process().net_connections("tcp")
    )


async def noted(backend: LMStudioBackend, text: str, seconds: float = 30.0) -> None:
    """Until the backend says so: a server may answer before who started it knows that it is there."""
    async with asyncio.timeout(seconds):
        while text not in backend.note:
            await asyncio.sleep(0.02)


@contextmanager
def server_process(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The stand-in as a process of its own: its address, and the process to be frozen or killed."""
    command = [sys.executable, "-m", "tests.standins.lmstudio", "--model", KEY, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}", process
        finally:
            process.kill()


MAI = """
import asyncio
from pathlib import Path
from mai_backends.lmstudio import discovery
from mai_backends.lmstudio.backend import LMStudioBackend
from mai_core.errors import EngineAbsent
from mai_core.plugin.interfaces import BackendContext
from mai_core.policy.models import LoadPlan

discovery.PORTS = ()
root = Path({root!r})

async def main():
    folders = {{name: root / name for name in ("data_dir", "cache_dir", "state_dir")}}
    backend = LMStudioBackend(BackendContext(name="mine", options={options!r}, **folders))
{work}
    await asyncio.sleep(600)

asyncio.run(main())
"""


@contextmanager
def mai_process(root: Path, work: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Another process of Mai with the folders of ``make_backend``, that does ``work`` with its ``backend`` and waits.

    It is killed in the end, with what it started.
    """
    code = MAI.format(root=str(root), options=options, work=textwrap.indent(textwrap.dedent(work), "    "))
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            ended = process.poll() is not None
            children = [] if ended else psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for child in children:
                child.kill()


def said(process: subprocess.Popen[str]) -> str:
    """The next line it prints; empty when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
