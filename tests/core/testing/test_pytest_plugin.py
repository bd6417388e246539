"""``pytest --mai-strategy``: the laws as tests, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLUGIN = "mai_core.testing.pytest_plugin"
WRONG = """
from mai_core.policy.selection import Proposal


class Crowded:
    name = "crowded"

    def propose(self, request):
        return [Proposal(c.key, c.quality / len(request.candidates), "its share") for c in request.candidates]
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    registered = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
    (folder / "crowded.py").write_text(WRONG, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    loaded = () if registered else ("-p", PLUGIN)
    command = [
        sys.executable,
        "-m",
        "pytest",
        *loaded,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_strategy_by_its_module_is_told_the_smallest_world(tmp_path: Path) -> None:
    done = run(
        tmp_path, "--mai-strategy", "crowded:Crowded", "--mai-examples", "30", "-k", "absolute or twins or never-raises"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 1 passed" in done.stdout
    assert "expected: " in done.stdout
    assert "mai bench check crowded:Crowded --law scores-are-absolute --seed 0" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_registered_one_is_tried_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "--mai-strategy", "tiered", "--mai-examples", "3", "-q", "-k", "answers")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(tmp_path, "--mai-strategy", "tired")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "did you mean tiered?" in done.stderr


def test_without_the_option_it_does_nothing_and_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\ndef test_light():\n    assert not {'hypothesis', 'pydantic', 'psutil'} & set(sys.modules)\n",
        encoding="utf-8",
    )
    done = run(tmp_path, "-p", "no:hypothesispytest", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
