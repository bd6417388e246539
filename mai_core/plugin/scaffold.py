"""A package for a new plugin: complete, so that it installs, passes its tests, and can be changed from there."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from string import Template

from mai_core.errors import PluginError

__all__ = ["PREFIX", "write_strategy"]

PREFIX = "mai-"
"""What the names of distributions of plugins begin with."""

_TEMPLATE = Path(__file__).with_name("template")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_IMPORTED = frozenset({"Proposal", "SelectionRequest", "SelectionStrategy", "Sequence", "ClassVar", "StrategyLaws"})


def write_strategy(name: str, folder: Path | None = None, *, taken: Collection[str] = ()) -> tuple[Path, ...]:
    """Write the package ``mai-NAME`` for a strategy into ``folder``, below the working directory when left out.

    Returns the files, that of the strategy first. Raises ``PluginError`` for a name that cannot be one, that is
    ``taken``, or where something is there already.
    """
    name = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"{name!r} cannot be the name of a strategy", remedy="use small letters, digits and dashes: my-strategy"
        )
    if name in taken:
        raise PluginError(f"there is a strategy {name} already", remedy="choose another name")
    folder = folder or Path(PREFIX + name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PluginError(f"{folder} is there already and not an empty folder", remedy="name another: --to FOLDER")
    package = f"{PREFIX}{name}".replace("-", "_")
    words = "".join(word.capitalize() for word in name.split("-"))
    values = {
        "name": name,
        "distribution": PREFIX + name,
        "package": package,
        "class_name": words + ("Strategy" if words in _IMPORTED else ""),
    }
    places = {
        "package/__init__.py.in": folder / package / "__init__.py",
        "tests/test_strategy.py.in": folder / "tests" / f"test_{package.removeprefix('mai_')}.py",
        "pyproject.toml.in": folder / "pyproject.toml",
        "README.md.in": folder / "README.md",
    }
    try:
        for template, place in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            text = Template((_TEMPLATE / template).read_text(encoding="utf-8")).substitute(values)
            place.write_text(text, encoding="utf-8")
        typed = folder / package / "py.typed"
        typed.touch()
    except OSError as error:
        raise PluginError(
            f"{folder} cannot be written: {error.strerror}", remedy="name another: --to FOLDER"
        ) from error
    return (*places.values(), typed)
