"""Changing one value in a YAML text and nothing else: comments, order, quotes and blank lines stay as they are.

The text is parsed for the marks of its nodes, and the change is made between two marks. A layout this cannot change
faithfully is not changed at all: the result is read again and must say what was wanted.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mai_core.errors import SettingsError
from mai_core.settings.document import compose, parse_document

__all__ = ["remove", "render", "replace"]

_SIZE = r"\d+ [KMGT]i?B"
# An address, or where a secret is kept: a colon within a word means nothing to YAML.
_POINTER = r"[A-Za-z][\w+-]*(?::[\w./+~-]+)+"
_PLAIN = re.compile(rf"{_SIZE}|{_POINTER}|[A-Za-z_~/][\w./~+-]*(?: [\w.,/~+()'-]+)*", re.ASCII)
_PLAIN_IN_FLOW = re.compile(rf"{_SIZE}|{_POINTER}|[A-Za-z_][\w./+-]*", re.ASCII)
_NOT_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"})
_UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def replace(text: str, where: Sequence[str], value: Any, label: str) -> str:
    """The text with the value at ``where`` set, sections added as needed. Raises ``SettingsError``."""
    wanted = copy.deepcopy(parse_document(text, label).data)
    here = wanted
    for part in where[:-1]:
        if not isinstance(here.get(part), dict):
            here[part] = {}
        here = here[part]
    here[where[-1]] = value
    return _checked(_Editor(text, label).set(where, value), wanted, where, label)


def remove(text: str, where: Sequence[str], label: str) -> str:
    """The text without the entry at ``where``, and without sections that hold nothing more; unchanged without it."""
    wanted = copy.deepcopy(parse_document(text, label).data)
    kept = _prune(wanted, tuple(where))
    if kept is None:
        return text
    return _checked(_Editor(text, label).unset(kept), wanted, where, label)


def render(value: Any, *, flow: bool = False) -> str:
    """A value on one line of YAML; ``flow`` when it stands within brackets."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case int() | float():
            return repr(value)
        case str():
            return _text(value, _PLAIN_IN_FLOW if flow else _PLAIN)
        case Mapping():
            inner = ", ".join(f"{render(str(k), flow=True)}: {render(v, flow=True)}" for k, v in value.items())
            return f"{{{inner}}}"
        case Sequence():
            return f"[{', '.join(render(item, flow=True) for item in value)}]"
    raise SettingsError(f"a setting cannot be a {type(value).__name__}")


def _text(value: str, plain: re.Pattern[str]) -> str:
    if plain.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _prune(tree: dict[str, Any], where: tuple[str, ...]) -> tuple[str, ...] | None:
    """Take an entry and every section left empty by that out of ``tree``; the outermost entry that went, or None."""
    name, *rest = where
    if name not in tree:
        return None
    if rest:
        inner = tree[name]
        below = _prune(inner, tuple(rest)) if isinstance(inner, dict) else None
        if below is None or inner:
            return below and (name, *below)
    del tree[name]
    return (name,)


def _checked(text: str, wanted: dict[str, Any], where: Sequence[str], label: str) -> str:
    try:
        said = parse_document(text, label).data
    except SettingsError:
        said = None
    if said != json.loads(json.dumps(wanted)) and not _same(said, wanted):
        raise SettingsError(f"{label} is laid out in a way Mai cannot edit", remedy=f"change {'.'.join(where)} by hand")
    return text


def _same(a: Any, b: Any) -> bool:
    """Equality in which a list equals a tuple, and not a number equals itself."""
    if isinstance(a, dict) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and (a == b or (a != a and b != b))


class _Editor:
    """One text, its node graph, and the change between two marks."""

    def __init__(self, text: str, label: str) -> None:
        self.text = text
        self.label = label
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.root = compose(text, label, pure=True)

    def set(self, where: Sequence[str], value: Any) -> str:
        node, key = self.root, None
        for depth, name in enumerate(where):
            if not _is_mapping(node):
                if not _is_null(node):
                    raise SettingsError(f"{self.label}: {'.'.join(where[:depth])} is not a section")
                if key is None or _is_empty(node):
                    return self._open(key, where[depth:], value)
                return self._put(key, node, _nested(where[depth:], value))
            found = _entry(node, name)
            if found is None:
                return self._insert(node, where[depth:], value)
            key, node = found
        return self._put(key, node, value)

    def unset(self, where: Sequence[str]) -> str:
        parent: Any = None
        node: Any = self.root
        for name in where:
            parent, (key, node) = node, _entry(node, name)  # type: ignore[misc]
        if parent.flow_style:
            return self._unset_in_flow(parent, key, node)
        start = self.text.rfind("\n", 0, key.start_mark.index) + 1
        return self.text[:start] + self.text[self._line_end(self._entry_end(key, node)) :].removeprefix(self.newline)

    def _unset_in_flow(self, parent: Any, key: Any, node: Any) -> str:
        at = next(i for i, (k, _) in enumerate(parent.value) if k is key)
        if at + 1 < len(parent.value):
            start, end = key.start_mark.index, parent.value[at + 1][0].start_mark.index
        else:
            start = self._entry_end(*parent.value[at - 1]) if at else key.start_mark.index
            end = self._entry_end(key, node)
        return self.text[:start] + self.text[end:]

    def _put(self, key: Any, node: Any, value: Any) -> str:
        """Replace the value of an entry. A block list stays one."""
        if _is_block_list(node) and isinstance(value, Sequence) and not isinstance(value, str) and value:
            indent = " " * node.start_mark.column
            start, written = node.start_mark.index, f"{self.newline}{indent}".join(f"- {render(v)}" for v in value)
        elif _is_block(node) or _is_empty(node):
            start, written = self._colon(key), f" {render(value, flow=_is_empty(node))}"
        else:
            start, written = node.start_mark.index, render(value, flow=True)
        return self.text[:start] + written + self.text[start if _is_empty(node) else self._end(node) :]

    def _insert(self, parent: Any, rest: Sequence[str], value: Any) -> str:
        """Add an entry behind the last one of a section."""
        if not parent.value:
            start, end = parent.start_mark.index, parent.end_mark.index
            return self.text[:start] + render(_nested(rest, value)) + self.text[end:]
        last = self._entry_end(*parent.value[-1])
        if parent.flow_style:
            entry = render(_nested(rest, value))[1:-1]
            return f"{self.text[:last]}, {entry}{self.text[last:]}"
        column = parent.value[0][0].start_mark.column
        return self._append(self._line_end(last), self._block(rest, value, column))

    def _open(self, key: Any, rest: Sequence[str], value: Any) -> str:
        """Add the first entry of a section that holds nothing, or of a text that holds nothing."""
        if key is None:
            return self._append(len(self.text), self._block(rest, value, 0))
        return self._append(self._line_end(self._end(key)), self._block(rest, value, key.start_mark.column + 2))

    def _append(self, at: int, lines: str) -> str:
        before = self.text[:at].removesuffix(self.newline) if at == len(self.text) else self.text[:at]
        return (before + self.newline if before else "") + lines + (self.text[at:] or self.newline)

    def _block(self, rest: Sequence[str], value: Any, column: int) -> str:
        lines = [" " * (column + 2 * i) + f"{render(name, flow=True)}:" for i, name in enumerate(rest)]
        return self.newline.join(lines) + f" {render(value)}"

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        if end < 0:
            return len(self.text)
        return end - 1 if self.text[:end].endswith("\r") else end

    def _entry_end(self, key: Any, node: Any) -> int:
        """Where an entry's text ends. The mark of a value that is not there lies anywhere before the next token."""
        return self._colon(key) if _is_empty(node) else self._end(node)

    def _colon(self, key: Any) -> int:
        """Where a value begins. Behind everything, and so refused in the end, for a key without a colon."""
        return self.text.find(":", self._end(key)) + 1 or len(self.text)

    def _end(self, node: Any) -> int:
        """Where a node's text ends: the parser's own mark of a block lies behind the comments that follow it."""
        if _is_block(node):
            if isinstance(node.value, str):
                return len(self.text[: node.end_mark.index].rstrip())
            last = node.value[-1]
            return self._entry_end(*last) if isinstance(last, tuple) else self._end(last)
        return int(node.end_mark.index)


def _nested(rest: Sequence[str], value: Any) -> Any:
    for name in reversed(rest):
        value = {name: value}
    return value


def _is_mapping(node: Any) -> bool:
    return node is not None and node.id == "mapping"


def _is_null(node: Any) -> bool:
    return node is None or node.tag.endswith(":null")


def _is_empty(node: Any) -> bool:
    return bool(node.start_mark.index == node.end_mark.index)


def _is_block(node: Any) -> bool:
    return node.style in ("|", ">") if isinstance(node.value, str) else not node.flow_style


def _is_block_list(node: Any) -> bool:
    return node.id == "sequence" and not node.flow_style


def _entry(node: Any, name: str) -> tuple[Any, Any] | None:
    return next(((key, value) for key, value in node.value if key.value == name), None)
