"""The probe inside a memory control group the kernel really enforces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mai_backends

MIB = 1024**2
LIMIT = 256 * MIB
TAKEN = 64 * MIB
INSIDE = f"""
import json, mmap, os, sys, tempfile
from mai_backends.probes.system import SystemProbe
from mai_core.plugin.interfaces import ProbeContext
probe = SystemProbe(ProbeContext(name="system"))
sys.stdin.readline()
pools = [probe.sample().pools[0]]
block = bytearray({TAKEN})
block[::4096] = b"x" * len(block[::4096])
pools.append(probe.sample().pools[0])
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    file.write(b"x" * {TAKEN})
    file.flush()
    os.fsync(file.fileno())
    weights = mmap.mmap(file.fileno(), {TAKEN}, prot=mmap.PROT_READ)
    for _ in range(3):
        sum(weights[::4096]), os.pread(file.fileno(), {TAKEN}, 0)
    pools.append(probe.sample().pools[0])
print(json.dumps([(p.total, p.available, p.limited_by, p.use.anonymous, p.use.file_backed) for p in pools]))
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


@pytest.fixture
def group() -> Iterator[Path]:
    """A group below this process's own, limited; it is removed when its last process is gone."""
    try:
        parent, limit = _own_group()
        folder = parent / f"mai-test-{os.getpid()}"
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (folder / limit).write_text(str(LIMIT))
        except OSError as error:
            pytest.skip(f"no memory limit can be set here: {error}")
        yield folder
    finally:
        folder.rmdir()


def test_the_groups_limit_and_what_is_taken_of_it_are_seen(group: Path, tmp_path: Path) -> None:
    root = str(Path(mai_backends.__file__).parent.parent)
    inside = subprocess.Popen(
        [sys.executable, "-c", INSIDE, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        (group / "cgroup.procs").write_text(str(inside.pid))
        said, _ = inside.communicate("go\n", timeout=60)
    finally:
        inside.kill()
        inside.wait()
    (total, before, by, own, _), (_, after, _, owned, files), (_, mapped, _, _, cached) = json.loads(said)
    assert (total, by) == (LIMIT, "cgroup")
    assert before <= LIMIT
    assert before - after == pytest.approx(TAKEN, rel=0.15)
    assert owned - own == pytest.approx(TAKEN, rel=0.15)
    assert cached - files == pytest.approx(TAKEN, rel=0.15), "the file's pages are the group's"
    assert after - mapped < TAKEN // 8, "and are given up to whoever needs them, though they are in use"
