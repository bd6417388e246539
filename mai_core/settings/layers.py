"""The layers of the settings and where each value comes from: built-in < user file < environment < command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, le, lt
from typing import TYPE_CHECKING, Any, NamedTuple

from mai_core.errors import SettingsError
from mai_core.settings.document import Document, Where, read_document
from mai_core.settings.model import Settings
from mai_core.settings.overrides import from_environment, from_flags
from mai_core.settings.problems import dotted, raise_first, shown, unknown, validated
from mai_core.settings.schema import slot_at
from mai_core.settings.secrecy import masked
from mai_core.settings.shipped import read_shipped

if TYPE_CHECKING:
    from mai_core.paths import Paths

__all__ = ["DEFAULT", "Layers", "Leaf", "LoadedSettings", "contradictions", "load_settings"]

DEFAULT = "default"


class Leaf(NamedTuple):
    """One setting: its dotted name, its value as it may be shown, and where that comes from."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Validated settings that know where each of their values comes from."""

    settings: Settings
    origins: Mapping[Where, str] = field(default_factory=dict)

    def origin(self, name: str) -> str:
        """``default``, ``~/.config/mai/mai.yaml:12``, ``MAI_SELECTION__ARBITER`` or ``command line``.

        Raises ``SettingsError`` when ``name``, written with dots, is not a setting.
        """
        for leaf in self.leaves():
            if leaf.name == name:
                return leaf.origin
        where = tuple(name.split("."))
        if slot_at(Settings, where) is None:
            raise SettingsError(unknown(Settings, where))
        raise SettingsError(f"{name} is a section", remedy="name one of its settings")

    def leaves(self) -> Iterator[Leaf]:
        """Every setting as it may be shown, secrets masked, in the order of the model."""
        for where, value in _leaves(masked(self.settings.model_dump()), ()):
            yield Leaf(dotted(where), value, self.origins.get(where, DEFAULT))


def load_settings(
    paths: Paths,
    environment: Mapping[str, str],
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    document: Document | None = None,
) -> LoadedSettings:
    """Every layer in one. ``overrides`` are the command line's: ``("selection.arbiter=first",)`` or a mapping.

    ``document`` is what the person's file is taken to say, instead of what it says now.

    Raises ``SettingsError``: one line that names the file and line, the variable or the flag, what is wrong there and
    what was probably meant.
    """
    layers = Layers()
    layers.add(read_shipped("mai.yaml", paths.cache).data)
    layers.add_document(read_document(paths.settings_file) if document is None else document)
    for override in (*from_environment(Settings, environment, layers.tree), *from_flags(Settings, overrides)):
        layers.add(override.tree, dict.fromkeys(_nodes(override.tree), override.origin))
    settings = validated(Settings, layers.tree, layers.origins)
    raise_first(tuple(contradictions(settings, layers.origins)))
    return LoadedSettings(settings, dict(layers.origins))


class Layers:
    """Trees laid over each other, the later the stronger; remembers which layer each value came from.

    ``root`` is the type the whole tree is to have.
    """

    def __init__(self, root: Any = Settings) -> None:
        self.root = root
        self.tree: dict[str, Any] = {}
        self.origins: dict[Where, str] = {}

    def add_document(self, document: Document) -> None:
        """Lay a file over what there is."""
        self.add(document.data, {where: f"{document.label}:{line}" for where, line in document.lines.items()})

    def add(self, tree: Mapping[str, Any], origins: Mapping[Where, str] | None = None) -> None:
        """Lay a tree over what there is. Mappings are merged name by name; anything else replaces what was there."""
        self._merge(self.tree, tree, (), origins or {})
        self.origins.update(origins or {})

    def _merge(self, base: dict[str, Any], over: Mapping[str, Any], above: Where, origins: Mapping[Where, str]) -> None:
        for name, value in over.items():
            where = (*above, name)
            if value is None and self._is_section(where):
                continue  # a section whose lines are all commented out says nothing
            if isinstance(value, Mapping):
                inner = base.get(name)
                if not isinstance(inner, dict):
                    inner = base[name] = {}
                self._merge(inner, value, where, origins)
            else:
                if isinstance(base.get(name), dict | list):
                    self._forget(where)
                elif where not in origins:
                    self.origins.pop(where, None)
                base[name] = value

    def _forget(self, where: Where) -> None:
        """What stood here is replaced whole, and so is where it came from."""
        for known in [known for known in self.origins if known[: len(where)] == where]:
            del self.origins[known]

    def _is_section(self, where: Where) -> bool:
        slot = slot_at(self.root, where)
        return slot is not None and slot.is_mapping


def contradictions(settings: Settings, origins: Mapping[Where, str]) -> Iterator[str]:
    """Values that are right alone and wrong together."""
    rules: tuple[tuple[str, str, str, Callable[[Any, Any], bool]], ...] = (
        ("context.target", "below", "context.trigger", lt),
        ("context.minimum", "at most", "context.window", le),
        ("memory.headroom_min", "at most", "memory.headroom_max", le),
    )
    for name, relation, other, holds in rules:
        value, bound = attrgetter(name)(settings), attrgetter(other)(settings)
        if not holds(value, bound):
            at = origins.get(tuple(name.split(".")), origins.get(tuple(other.split(".")), ""))
            text = f"{name} ({shown(value)}) must be {relation} {other} ({shown(bound)})"
            yield f"{at}: {text}" if at else text


def _leaves(tree: Mapping[str, Any], above: Where) -> Iterator[tuple[Where, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _nodes(value: Any, where: Where = ()) -> Iterator[Where]:
    """Every place in a tree."""
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield (*where, name)
        yield from _nodes(child, (*where, name))
