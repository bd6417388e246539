"""``mai`` as a person has it: a program of its own, with a home of its own, on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["STARTER", "Installed"]

STARTER = "smollm2-135m-instruct-q4_1"
# Short answers, and the same ones every time; nothing that lies elsewhere on this disk, no engine that runs there.
OPTIONS = (
    "--set", "generation.max_tokens=24",
    "--set", "generation.temperature=0",
    "--set", "backends.embedded.scan_other_tools=false",
    "--set", "backends.lmstudio.enabled=false",
    "--set", "backends.ollama.enabled=false",
)  # fmt: skip


class Installed:
    """``mai`` of this environment, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.models = self.home / "data" / "models"
        self.models.mkdir(parents=True)
        self.variables: dict[str, str] = {}
        self.options: tuple[str, ...] = ()

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAI_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "mai_core", *OPTIONS, *self.options, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env={**environment, **self.variables, "MAI_HOME": str(self.home)},
        )

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
        out, err = process.communicate(stdin or None, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stored(self) -> list[dict[str, Any]]:
        """The messages of the latest conversation."""
        latest = self.json("history")[0]["id"]
        messages: list[dict[str, Any]] = self.json("history", "show", latest)["messages"]
        return messages
