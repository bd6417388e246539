"""Memory that really ends: in a control group or under a ``ulimit`` the kernel enforces, what is judged to fit loads
and answers, and what is not is refused before anything is loaded."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import mai_backends

MIB = 2**20
INSIDE = """
import asyncio, json, sys
from pathlib import Path
from mai_backends.embedded.backend import EmbeddedBackend
from mai_backends.embedded.measuring import measure
from mai_backends.probes.system import SystemProbe
from mai_core.errors import BackendError
from mai_core.plugin.interfaces import BackendContext, ProbeContext
from mai_core.policy.footprint import predict_footprint
from mai_core.policy.models import LoadPlan
from mai_core.policy.planning import Wants, plan_load
from mai_core.policy.resources import Host

file, root, forced, kept = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
sys.stdin.readline()
folders = dict.fromkeys(("data_dir", "cache_dir", "state_dir"), root)
model = EmbeddedBackend(BackendContext(name="e", options={"scan_other_tools": False}, **folders)).profile_of(file)
reading = SystemProbe(ProbeContext(name="system")).sample()
host = Host(pools=reading.pools)
planned = plan_load(model, host, Wants(context=8192, minimum=512, batch=128), kept=kept, least=0)
plan = LoadPlan(context=forced, batch=128) if forced else planned and planned.plan
said = {"pool": reading.pools[0].total, "context": plan.context if plan else 0, "planned": planned is not None}
if plan:
    said["predicted"] = predict_footprint(model, plan, filled=300).anonymous
    try:
        said["taken"] = asyncio.run(measure(model, plan, filled=300, silence=60.0)).footprint.anonymous
    except BackendError as error:
        said["failed"] = f"{type(error).__name__}: {error.message}"
print(json.dumps(said))
"""


def _own_group() -> tuple[Path, str]:
    """The folder of this process's memory group, and the name of its limit."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return Path("/sys/fs/cgroup/memory", path.lstrip("/")), "memory.limit_in_bytes"
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup", path.lstrip("/")), "memory.max"
    raise OSError("no memory control groups")


Within = Callable[..., dict[str, Any]]


@pytest.fixture
def within(starter_gguf: Path, tmp_path: Path) -> Iterator[Within]:
    """Runs ``INSIDE`` in a group of its own with so many MiB; the groups are removed afterwards."""
    made: list[Path] = []

    def run(limit: int, *, forced: int = 0) -> dict[str, Any]:
        try:
            parent, name = _own_group()
            folder = parent / f"mai-oom-{os.getpid()}-{len(made)}"
            folder.mkdir()
            made.append(folder)
            (folder / name).write_text(str(limit * MIB))
        except OSError as error:
            pytest.skip(f"no memory limit can be set here: {error}")
        inside = subprocess.Popen(
            [sys.executable, "-c", INSIDE, str(starter_gguf), str(tmp_path), str(forced), "0.04"],
            cwd=Path(mai_backends.__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            (folder / "cgroup.procs").write_text(str(inside.pid))
            said, _ = inside.communicate("go\n", timeout=180)
        finally:
            inside.kill()
            inside.wait()
        assert inside.returncode == 0, "the program that judges outlives what it loads"
        found: dict[str, Any] = json.loads(said)
        assert found["pool"] == limit * MIB
        return found

    yield run
    for folder in made:
        folder.rmdir()


@pytest.mark.weights
def test_what_is_judged_to_fit_answers_and_what_is_not_is_never_loaded(within: Within) -> None:
    found = {limit: within(limit) for limit in (150, 330, 500)}
    assert not found[150]["planned"]
    assert "taken" not in found[150]
    contexts = [found[limit]["context"] for limit in found]
    assert 0 == contexts[0] < contexts[1] <= contexts[2] == 8192
    for limit in (330, 500):
        assert "failed" not in found[limit], f"judged to fit into {limit} MiB"
        assert found[limit]["taken"] == pytest.approx(found[limit]["predicted"], rel=0.05)


@pytest.mark.weights
def test_what_was_refused_would_have_been_killed(within: Within) -> None:
    found = within(200, forced=8192)
    assert found["failed"].startswith("OutOfMemory")


@pytest.fixture
def under(starter_gguf: Path, tmp_path: Path) -> Within:
    """Runs ``INSIDE`` with so many MiB by ``setrlimit``; its engine inherits that. Other processes have no part in such
    a limit, so nothing is kept free for them."""

    def run(limit: int, *, kind: int, forced: int = 0) -> dict[str, Any]:
        inside = subprocess.run(
            [sys.executable, "-c", INSIDE, str(starter_gguf), str(tmp_path), str(forced), "0"],
            cwd=Path(mai_backends.__file__).parent.parent,
            input="go\n",
            stdout=subprocess.PIPE,
            text=True,
            timeout=180,
            check=False,
            preexec_fn=partial(resource.setrlimit, kind, (limit * MIB, limit * MIB)),
        )
        assert inside.returncode == 0, "the program that judges outlives what it loads"
        found: dict[str, Any] = json.loads(inside.stdout)
        return found

    return run


@pytest.mark.weights
@pytest.mark.parametrize(
    ("kind", "limits"),
    [
        pytest.param(resource.RLIMIT_DATA, (170, 250, 300, 400), id="ulimit -d"),
        pytest.param(resource.RLIMIT_AS, (600, 780, 900), id="ulimit -v"),
    ],
)
def test_under_a_limit_of_the_process_what_is_judged_to_fit_answers(
    under: Within, kind: int, limits: tuple[int, ...]
) -> None:
    found = [under(limit, kind=kind) for limit in limits]
    assert not found[0]["planned"]
    assert "taken" not in found[0]
    contexts = [one["context"] for one in found]
    assert contexts == sorted(contexts)
    assert 0 == contexts[0] < contexts[1] < contexts[-1] == 8192
    for limit, one in zip(limits[1:], found[1:], strict=True):
        assert "failed" not in one, f"judged to fit into {limit} MiB"
        assert one["taken"] == pytest.approx(one["predicted"], rel=0.05)


@pytest.mark.weights
def test_what_was_refused_under_a_limit_would_not_have_loaded(under: Within) -> None:
    found = under(250, kind=resource.RLIMIT_DATA, forced=8192)
    assert found["failed"].startswith("OutOfMemory")
