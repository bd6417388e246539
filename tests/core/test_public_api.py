"""The public API is what ``__all__`` says, and importing it costs nothing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import mai_backends
import mai_core
import mai_strategies
from mai_core.plugin import hookspecs


def modules() -> list[str]:
    found = []
    for package in (mai_core, mai_strategies, mai_backends):
        found.append(package.__name__)
        found += [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    return [name for name in found if not name.endswith("__main__")]


def test_every_public_name_is_there() -> None:
    assert [n for n in mai_core.__all__ if getattr(mai_core, n, None) is None] == []
    assert sorted(mai_core.__all__, key=str.lower) == sorted(mai_core.__all__, key=str.lower)
    assert len(set(mai_core.__all__)) == len(mai_core.__all__) <= 40


@pytest.mark.parametrize("name", modules())
def test_all_names_what_a_module_defines(name: str) -> None:
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.__all__ names {public}, which is not there"


def test_every_hook_is_documented() -> None:
    hooks = {n: f for n, f in vars(hookspecs).items() if n.startswith("mai_")}
    assert len(hooks) == 7
    for name, hook in hooks.items():
        assert "Called" in (inspect.getdoc(hook) or ""), f"{name} does not say when it is called"


def test_importing_mai_imports_nothing_heavy() -> None:
    code = (
        "import sys, mai_core; print([m for m in ('pydantic','httpx','rich','typer','xllamacpp') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
