"""LM Studio's folder with an ``lms`` in it that starts the stand-in as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

LMS = """#!{python}
import json, os, pathlib, signal, socket, subprocess, sys, time

home = pathlib.Path({home!r})
with open(home / "lms-calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
plan = json.loads((home / "lms-plan.json").read_text())
pid_file = home / "server-pid"
command = sys.argv[1:3]
if command[0] not in plan["knows"]:
    sys.exit(f"error: unknown command '{{command[0]}}'")
if command in (["daemon", "up"], ["server", "start"]):
    time.sleep(plan["delay"])
    if plan["fails"]:
        sys.exit("error: the application cannot be opened")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.standins.lmstudio", "--port", str(plan["port"]), *plan["arguments"]],
        cwd={root!r}, start_new_session=True,
    )
    pid_file.write_text(str(server.pid))
    (home / ".internal").mkdir(exist_ok=True)
    (home / ".internal/http-server.json").write_text(json.dumps({{"port": plan["port"], "pid": server.pid}}))
    if plan["stays"]:
        time.sleep(60)
elif command in (["daemon", "down"], ["server", "stop"]):
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    pid_file.unlink()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Home:
    """``knows`` are the commands its ``lms`` has; ``delay`` seconds pass before the server's process is started."""

    def __init__(
        self,
        root: Path,
        *,
        knows: tuple[str, ...] = ("daemon", "server"),
        delay: float = 0.0,
        fails: bool = False,
        stays: bool = False,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.path = root / "lmstudio-home"
        self.port = free_port()
        (self.path / "bin").mkdir(parents=True)
        plan = {"knows": knows, "delay": delay, "fails": fails, "stays": stays, "port": self.port}
        (self.path / "lms-plan.json").write_text(json.dumps(plan | {"arguments": arguments}))
        lms = self.path / "bin/lms"
        lms.write_text(LMS.format(python=sys.executable, home=str(self.path), root=str(ROOT)))
        lms.chmod(lms.stat().st_mode | stat.S_IXUSR)

    @property
    def calls(self) -> list[str]:
        """What ``lms`` was asked to do."""
        file = self.path / "lms-calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def server(self) -> int | None:
        """The process of the server, None when there is none."""
        file = self.path / "server-pid"
        return int(file.read_text()) if file.exists() and file.read_text() else None

    def clean(self) -> None:
        """End a server that is still there."""
        if (pid := self.server) is not None:
            os.kill(pid, signal.SIGKILL)
