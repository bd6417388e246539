"""docs/backends.md says what is so: its tables and code are the project's own, and every row of failure is proven."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mai_core.errors import MaiError
from tests.standins.faults import Fault
from tests.standins.page import ENGINES, EXAMPLE, OPTIONS, PAGE, ROOT, renewed

TEXT = PAGE.read_text(encoding="utf-8")
TESTED = re.compile(r"(?:meets\(|FAILURES\[)Fault\.(\w+)")


def test_the_page_is_what_the_generator_prints() -> None:
    assert renewed(TEXT) == TEXT, "run: python -m tests.standins.page --write"
    printed = subprocess.run(
        [sys.executable, "-m", "tests.standins.page"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert printed.stdout == TEXT


def test_the_example_is_the_one_that_is_tested_and_as_short_as_the_page_says() -> None:
    module = (EXAMPLE / "mai_markov.py").read_text(encoding="utf-8")
    assert f"```python\n{module}```" in TEXT
    assert "complete, in under 80 lines" in TEXT
    assert len(module.splitlines()) < 80


def test_the_entry_point_is_the_one_of_the_example() -> None:
    [entry] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert entry in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")


def settings_told() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every backend the page adds, by a command or in a file."""
    for name, value in re.findall(r"^mai config set backends\.(\w+) '(.*?)'", TEXT, re.MULTILINE):
        yield name, YAML(typ="safe").load(StringIO(value))
    for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL):
        yield from YAML(typ="safe").load(StringIO(block))["backends"].items()


@pytest.mark.parametrize(("name", "settings"), [pytest.param(*told, id=told[0]) for told in settings_told()])
def test_what_the_page_tells_to_set_can_be_set(name: str, settings: Mapping[str, Any]) -> None:
    told = dict(settings)
    kind = told.pop("type")
    if kind != "markov":
        assert OPTIONS[kind][""].model_validate(told), name


@pytest.fixture(scope="module")
def collected() -> Mapping[Path, str]:
    """The ids of all tests of backends, by the folder they are in, as pytest collects them."""
    folders = [Path(str(module.__file__)).parent for module in ENGINES.values()]
    files = [str(file) for folder in folders for file in sorted(folder.glob("test_*.py"))]
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", *files],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout.splitlines()
    return {f: "\n".join(line for line in listed if line.startswith(str(f.relative_to(ROOT)))) for f in folders}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_row_is_proven(engine: str, collected: Mapping[Path, str]) -> None:
    """By a case of a parametrised test that is named after it, or by a test that holds its row against what happens."""
    module = ENGINES[engine]
    folder = Path(str(module.__file__)).parent
    named = {name.lower() for name in re.findall(r"\[(.+)\]$", collected[folder], re.MULTILINE)}
    held = {name for file in folder.glob("test_*.py") for name in TESTED.findall(file.read_text(encoding="utf-8"))}
    unproven = [
        fault
        for fault in module.FAILURES
        if not named & {fault.name.lower(), fault.value.lower()} and fault.name not in held
    ]
    assert not unproven


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_table_leaves_out_is_told(engine: str) -> None:
    module = ENGINES[engine]
    said = inspect.getdoc(module) or ""
    for fault in Fault:
        assert fault in module.FAILURES or (fault.name in said and f"*{fault.value}*" in " ".join(TEXT.split()))


def test_the_classes_of_failures_exist() -> None:
    [table] = re.findall(r"\| you raise \|.*?\n\n", TEXT, re.DOTALL)
    classes = {line.split("|")[1].strip() for line in table.splitlines()[2:] if line}
    named = {name for names in classes for name in re.findall(r"`(\w+)`", names)}
    import mai_core.errors

    assert all(issubclass(getattr(mai_core.errors, name), MaiError) for name in named)
