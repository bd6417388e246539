"""Everything about LM Studio again, on the newest pre-release of its SDK."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lmstudio
import pytest

ROOT = Path(__file__).parents[3]
TESTED = ("tests/backends/lmstudio_standin", "tests/backends/lmstudio")

pytestmark = [pytest.mark.network, pytest.mark.install, pytest.mark.timeout(1500)]


def test_the_newest_prerelease_passes_what_the_installed_release_passes(tmp_path: Path) -> None:
    target = tmp_path / "sdk"
    installing = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--pre", "--no-deps", "--target", target, "lmstudio"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if installing.returncode:
        pytest.skip(f"the registry gives no pre-release: {installing.stderr.strip()[-300:]}")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}
    version = _run(["-c", "import lmstudio; print(lmstudio.__version__, lmstudio.__file__)"], environment)
    number, file = version.stdout.split()
    assert file.startswith(str(target)), "the pre-release was not imported"
    if number == lmstudio.__version__:
        pytest.skip(f"there is no pre-release newer than the installed {number}")
    folders = [folder for folder in TESTED if list((ROOT / folder).glob("test_*.py"))]
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not network and not weights", "-q", *folders]
    tested = _run(["-m", "pytest", *options], environment)
    assert tested.returncode == 0, f"on lmstudio {number}:\n{tested.stdout[-6000:]}\n{tested.stderr[-2000:]}"
    assert " passed" in tested.stdout


def _run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
