"""A package for a new strategy is complete, lawful, and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mai_core.errors import PluginError
from mai_core.plugin.registry import PluginRegistry
from mai_core.plugin.scaffold import write_strategy
from mai_core.testing.laws import Outcome, laws_of, try_law


def loaded(file: Path) -> Any:
    spec = spec_from_loader("scaffolded", SourceFileLoader("scaffolded", str(file)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["scaffolded"] = module
    spec.loader.exec_module(module)
    return module


def test_it_is_a_whole_plugin_that_keeps_the_laws(tmp_path: Path) -> None:
    code, *_ = write_strategy("mai-my-own", tmp_path / "there")
    project = tomllib.loads((tmp_path / "there" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "mai-my-own"
    assert project["project"]["entry-points"]["mai"] == {"my-own": code.parent.name}
    registry = PluginRegistry.of(loaded(code))
    for law in laws_of(lambda: registry.strategy("my-own")):
        assert try_law(law, lambda: registry.strategy("my-own"), examples=5).outcome is Outcome.KEPT, law.name


def test_its_own_tests_and_checks_pass(tmp_path: Path) -> None:
    write_strategy("sequence", tmp_path / "there")
    for command in (
        ["pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-k", "waiting or gives-reasons"],
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path / "there", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@settings(max_examples=25, deadline=None)
@given(st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5}){0,2}", fullmatch=True))
def test_any_name_makes_code_that_can_be_read(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    code, test, *_ = write_strategy(name, tmp_path_factory.mktemp("made") / "there")
    for file in (code, test):
        compile(file.read_text(), str(file), "exec")
    assert "$" not in code.read_text()


@pytest.mark.parametrize("name", ["", "My", "a_b", "-a", "a-", "a--b", "../a", "1st", "ä", "a b"])
def test_what_cannot_be_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginError, match="cannot be the name"):
        write_strategy(name, tmp_path / "there")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(PluginError, match="there already"):
            write_strategy("mine", place)
    with pytest.raises(PluginError, match="cannot be written"):
        write_strategy("mine", tmp_path / "mine" / "below")
    with pytest.raises(PluginError, match="a strategy tiered already"):
        write_strategy("tiered", tmp_path / "there", taken=["tiered"])
    assert [p.read_text() for p in tmp_path.iterdir()] == ["precious"]
