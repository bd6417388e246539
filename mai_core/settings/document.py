"""A YAML file as plain values that still know their lines."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mai_core.errors import SettingsError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

__all__ = ["Document", "Where", "compose", "display", "parse_document", "parse_value", "read_document", "read_text"]

Where = tuple[str | int, ...]
"""The keys that lead to a value, and indices into lists."""

LIMIT = 256 * 1024
"""Bytes a settings file may have: a hundred times what a person writes."""

_TAG = "tag:yaml.org,2002:"
# A date is text here, and so are the keys YAML 1.1 gave a meaning: << and =.
_KINDS = frozenset({"map", "seq", "str", "null", "bool", "int", "float", "timestamp", "merge", "value"})
_QUOTED = re.compile(r"\b(alias|anchor|tag handle) ['\"].*", re.DOTALL)
_TRUE = frozenset({"true", "yes", "on", "y"})


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. ``lines`` holds the line, counted from 1, of every key and list item."""

    label: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[Where, int] = field(default_factory=dict)


def display(path: Path) -> str:
    """A path as people write it, with ``~`` for the home folder."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def read_document(path: Path) -> Document:
    """The file's mapping; empty when there is no file. Raises ``SettingsError`` with file and line."""
    text = read_text(path)
    return Document(display(path)) if text is None else parse_document(text, display(path))


def read_text(path: Path) -> str | None:
    """The file's text, None when there is no file. Raises ``SettingsError`` for anything that is not a small text."""
    name = display(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SettingsError(f"{name} is a folder", remedy="a file is expected there: move the folder away")
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError(f"{name} is not a regular file")
        with path.open("rb") as file:
            raw = file.read(LIMIT + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise SettingsError(f"{name} is a link to a file that does not exist: {path.readlink()}") from None
        return None
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(raw) > LIMIT:
        raise SettingsError(f"{name} is larger than {LIMIT // 1024} KiB: that is not a settings file")
    return _decoded(raw, name)


def parse_document(text: str, label: str) -> Document:
    """The mapping a text holds; empty for an empty text. Raises ``SettingsError`` with ``label`` and line."""
    from ruamel.yaml.nodes import MappingNode

    root = compose(text, label)
    reader = _Reader(label)
    if root is None:
        return Document(label)
    if not isinstance(root, MappingNode):
        if reader.value(root, ()) is None:
            return Document(label)
        raise SettingsError(f"{label}:{_line(root)}: not a list of settings; write each as `name: value`")
    try:
        return Document(label, reader.value(root, ()), reader.lines)
    except RecursionError:
        raise SettingsError(f"{label}: nested too deeply") from None


def parse_value(text: str, label: str) -> Any:
    """One value as YAML writes it: a scalar, a list or a mapping. Raises ``SettingsError``."""
    root = compose(text, label)
    return None if root is None else _Reader(label).value(root, ())


def compose(text: str, label: str, *, pure: bool = False) -> Node | None:
    """The node graph of a text. ``pure`` insists on the Python parser, whose marks are exact."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        # The safe loader's parser is the C one where that is installed; both know lines.
        node: Node | None = YAML(typ="safe", pure=pure).compose(text)
    except MarkedYAMLError as error:
        raise SettingsError(_complaint(error, text, label)) from None
    except YAMLError:
        raise SettingsError(f"{label}: not valid YAML: it holds a control character") from None
    except RecursionError:
        raise SettingsError(f"{label}: nested too deeply") from None
    return node


def _complaint(error: Any, text: str, label: str) -> str:
    mark = error.problem_mark or error.context_mark
    # What is quoted behind these words may be a password that begins with *, & or !.
    problem, context = (_QUOTED.sub(r"\1", str(said or "")) for said in (error.problem, error.context))
    if mark is None:
        return f"{label}: not valid YAML: {problem}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: mark.column + 1] and "cannot start" in problem:
        return f"{label}:{mark.line + 1}: a tab where YAML wants spaces"
    begun = error.context_mark
    since = f", {context} that begins on line {begun.line + 1}" if begun is not None and context else ""
    return f"{label}:{mark.line + 1}: not valid YAML: {problem}{since}"


def _decoded(raw: bytes, name: str) -> str:
    if b"\0" in raw:
        raise SettingsError(f"{name} is not a text file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{name}:{line}: not valid UTF-8: is this a text file?") from None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Turns nodes into values and remembers their lines. Every node is visited once: aliases are refused."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.lines: dict[Where, int] = {}
        self._seen: set[int] = set()

    def value(self, node: Node, where: Where) -> Any:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        if id(node) in self._seen:
            raise SettingsError(f"{self.label}:{_line(node)}: an anchor used twice; write the value out instead")
        self._seen.add(id(node))
        if (node.tag or "").removeprefix(_TAG) not in _KINDS:
            # Text that begins so may be a password: only what is a tag without doubt is repeated.
            tag = (
                f"the tag {node.tag}"
                if (node.tag or "").startswith(_TAG)
                else "a tag, as a value that begins with ! is,"
            )
            raise SettingsError(f"{self.label}:{_line(node)}: {tag} is not supported")
        if isinstance(node, MappingNode):
            return self._mapping(node, where)
        if isinstance(node, SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.lines[*where, index] = _line(item)
                items.append(self.value(item, (*where, index)))
            return items
        return self._scalar(node)

    def _mapping(self, node: Any, where: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            key = key_node.value
            if not isinstance(key, str) or key_node.tag not in (f"{_TAG}str", f"{_TAG}merge", f"{_TAG}value"):
                shown = key if isinstance(key, str) else "a list or mapping"
                raise SettingsError(f'{self.label}:{line}: {shown} is not a name; put it in quotes: "{shown}"')
            if key in values:
                first = self.lines[*where, key]
                raise SettingsError(f'{self.label}:{line}: "{key}" is set twice, first on line {first}')
            self.lines[*where, key] = line
            values[key] = self.value(value_node, (*where, key))
        return values

    def _scalar(self, node: Any) -> Any:
        kind, text = node.tag.removeprefix(_TAG), node.value
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() in _TRUE
            case "int" | "float":
                try:
                    return _integer(text) if kind == "int" else _float(text)
                except ValueError:
                    raise SettingsError(f"{self.label}:{_line(node)}: not a number Mai can read: {text[:40]}") from None
        return text


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    return int(digits, 0) if digits.lstrip("+-")[:2] in ("0x", "0o", "0b") else int(digits)


def _float(text: str) -> float:
    digits = text.replace("_", "").lower()
    match digits.lstrip("+-"):
        case ".inf":
            return -math.inf if digits.startswith("-") else math.inf
        case ".nan":
            return math.nan
    return float(digits)
