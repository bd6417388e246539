"""Mai and plugins of third parties in an environment of their own, used from outside."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

__all__ = ["FreshInstall"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "tests" / "examples"


class FreshInstall:
    """Mai and all examples in a fresh environment below ``folder``, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.bin = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        venv.create(folder / "env", with_pip=True)
        self.install(ROOT, *(project.parent for project in EXAMPLES.glob("*/pyproject.toml")))

    def install(self, *packages: Path) -> None:
        """Install packages from their folders."""
        done = self._run(self.bin / "python", "-m", "pip", "install", "--quiet", *packages)
        assert done.returncode == 0, done.stderr

    def _run(self, *command: object) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAI_"))}
        environment["MAI_HOME"] = str(self.home)
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.bin,
            timeout=600,
            check=False,
        )

    def python(self, source: str) -> str:
        """What a program prints."""
        done = self._run(self.bin / "python", "-c", source)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def mai(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A run of the command, however it ends."""
        return self._run(self.bin / "mai", *arguments)

    def says(self, *arguments: str) -> str:
        """What the command prints when it succeeds."""
        done = self.mai(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The document the command prints."""
        return json.loads(self.says(*arguments))
