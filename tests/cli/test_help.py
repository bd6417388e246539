"""Help: cheap, complete, and the same as in the manual."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from conftest import Run

from mai_core.cli.app import COMMANDS
from mai_core.cli.manual import manual
from mai_core.plugin.hookspecs import hookimpl

ROOT = Path(__file__).parents[2]

BARE = """
import typer
app = typer.Typer()
@app.command()
def one(name: str = "x") -> None:
    "One."
@app.command()
def two(name: str = "x") -> None:
    "Two."
app()
"""


def python(*arguments: str, home: Path) -> tuple[str, float]:
    """The output of a Python process and the processor seconds it took."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"MAI_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return done.stdout, spent


def test_help_imports_only_what_it_shows(home: Path) -> None:
    code = (
        "import json, sys\nfrom mai_core.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: print('MODULES', json.dumps(sorted(sys.modules)))"
    )
    output, _ = python("-c", code, home=home)
    loaded = set(json.loads(output.partition("MODULES ")[2]))
    heavy = {"asyncio", "httpx", "pydantic", "prompt_toolkit", "rich", "ruamel.yaml", "sqlite3", "xllamacpp"}
    assert loaded & heavy == set()
    assert not [name for name in loaded if name.startswith(("mai_core.runtime", "mai_core.policy"))]
    assert {entry.module for entry in COMMANDS.values()} & loaded == set()


def test_help_takes_no_longer_than_a_bare_program(home: Path) -> None:
    bare = min(python("-c", BARE, "--help", home=home)[1] for _ in range(4))
    mai = min(python("-m", "mai_core", "--help", home=home)[1] for _ in range(4))
    assert mai < 1.5 * bare


def test_the_manual_is_what_help_says() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == manual(), "run: python -m mai_core.cli.manual > docs/cli.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(mai: Run, name: str) -> None:
    told = mai(name, "--help")
    assert told.code == 0
    first = re.sub(r"\s+", " ", told.out.split("\n\n")[1]).strip()
    assert first.startswith(COMMANDS[name].help.partition(".")[0].partition(",")[0])


class Hello:
    @hookimpl
    def mai_register_commands(self, app: typer.Typer) -> None:
        @app.command()
        def hello(name: str = "you") -> None:
            """Say hello."""
            print(f"Hello, {name}!")

        @app.command("chat")
        def shadow() -> None:
            """Take the place of mai chat."""

        @app.command()
        def broken(value: list[list[int]]) -> None:
            """Cannot be a command."""


def test_plugins_add_commands_and_cannot_take_or_break_any(mai: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from mai_core.cli.invocation import Invocation
    from mai_core.plugin.registry import PluginRegistry

    registry = PluginRegistry.of(Hello())
    monkeypatch.setattr(Invocation, "registry", lambda *_, **__: registry)
    told = mai("--help").out
    assert "From plugins:\n  hello" in told
    assert told.count("\n  chat") == 1
    assert mai("hello", "--name", "Mai").out == "Hello, Mai!\n"
    assert mai("chat", "hi").out == "You said: hi \n"
    assert mai("broken").code == 2
    assert {fault.stage for fault in registry.faults} == {"mai_register_commands"}
    assert "'hello'" in mai("helo").err
