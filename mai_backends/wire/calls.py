"""Tool calls, put together from the pieces they are streamed in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mai_backends.wire.bodies import well_formed
from mai_backends.wire.errors import Unreadable
from mai_core.policy.messages import ToolCall

__all__ = ["CallAssembly"]

MOST_CALLS = 128
LONGEST_ARGUMENTS = 4 * 2**20
"""Characters of the arguments of all calls of a reply together."""


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class CallAssembly:
    """The calls of one reply, in the order they began.

    A piece belongs to the call of its ``index``; where a server gives none, to the call of its ``id``; where it gives
    neither, to the last one. Another id and a name under an index in use begin another call, as some servers number all
    alike.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._length = 0

    def add(self, pieces: object) -> bool:
        """Take the ``tool_calls`` of a delta; whether it held any. Raises ``Unreadable`` for far too much."""
        found = [piece for piece in pieces if isinstance(piece, dict)] if isinstance(pieces, list) else []
        for piece in found:
            function = piece.get("function")
            self._extend(self._call(piece), function if isinstance(function, dict) else {})
        return bool(found)

    def calls(self) -> list[ToolCall]:
        """Every call that has a name, whole. One without an id gets its number for one."""
        return [
            ToolCall(id=call.id or f"call_{number}", name=call.name, arguments="".join(call.arguments) or "{}")
            for number, call in enumerate(self._calls)
            if call.name
        ]

    def _call(self, piece: Mapping[str, Any]) -> _Call:
        index, given = piece.get("index"), piece.get("id")
        name = well_formed(given) if isinstance(given, str) else ""
        if isinstance(index, int):
            found = self._by_index.get(index)
        elif name:
            found = next((call for call in self._calls if call.id == name), None)
        else:
            found = self._calls[-1] if self._calls else None
        function = piece.get("function")
        begins = isinstance(function, dict) and bool(function.get("name"))
        if found is None or (begins and name and found.id and name != found.id):
            if len(self._calls) == MOST_CALLS:
                raise Unreadable(f"more than {MOST_CALLS} tool calls")
            found = _Call()
            self._calls.append(found)
        found.id = found.id or name
        if isinstance(index, int):
            self._by_index[index] = found
        return found

    def _extend(self, call: _Call, function: Mapping[str, Any]) -> None:
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and not call.name:
            call.name = well_formed(name)
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if isinstance(arguments, str) and arguments:
            self._length += len(arguments)
            if self._length > LONGEST_ARGUMENTS:
                raise Unreadable("tool calls longer than any tool takes")
            call.arguments.append(well_formed(arguments))
