"""``python -m tests.standins.lmstudio.compare frames.jsonl``: where a recording differs from the stand-in."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.standins.lmstudio.exercise import exercise
from tests.standins.lmstudio.frames import Frame, Listener, check, read_frames

__all__ = ["Comparison", "compare", "main"]

_TEXT_TYPES = {bool: "boolean", int: "number", float: "number", str: "text", type(None): "null"}


@dataclass(frozen=True)
class Comparison:
    """What a recording shows.

    violations    what does not keep to the schema, with how often
    unknown       fields the server sent and the stand-in never sends
    missing       fields the stand-in sends in packets the server sent too, but which the server never sent
    types         fields both send, with another type of value
    unheard       endpoints and packets of the recording that the stand-in does not have
    unproven      endpoints and packets of the stand-in that the recording never shows
    errors        errors the server gave: the words behind which decisions hide
    """

    violations: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def same(self) -> bool:
        """Whether the stand-in told the truth about everything the recording shows."""
        return not (self.violations or self.unknown or self.missing or self.types or self.unheard)

    def lines(self) -> Iterator[str]:
        """For a person."""
        for title, entries in (
            ("does not keep to the schema", self.violations),
            ("the server sends, the stand-in does not", self.unknown),
            ("the stand-in sends, the server did not", self.missing),
            ("of another type", self.types),
            ("not known to the stand-in", self.unheard),
            ("not in this recording", self.unproven),
            ("errors given", self.errors),
        ):
            if entries:
                yield f"{title}:"
                yield from (f"  {entry}" for entry in sorted(entries))
        yield "the stand-in and the server agree" if self.same else "the stand-in differs"


Shapes = dict[str, dict[str, set[str]]]
"""For each packet, the fields it was seen with, and the types of each."""


def compare(recorded: Iterable[Frame], own: Iterable[Frame] | None = None) -> Comparison:
    """Recorded frames against what the stand-in says to an exercise."""
    frames = list(recorded)
    real, ours = _shapes(frames), _shapes(exercise() if own is None else own)
    result = Comparison(violations=Counter(check(frames)))
    result.unheard.extend(sorted(set(real) - set(ours)))
    result.unproven.extend(sorted(set(ours) - set(real)))
    for packet in sorted(set(real) & set(ours)):
        seen, sent = real[packet], ours[packet]
        result.unknown.extend(f"{packet}{path}" for path in sorted(set(seen) - set(sent)))
        result.missing.extend(f"{packet}{path}" for path in sorted(set(sent) - set(seen)) if not _in_empty(path, seen))
        for path in sorted(set(seen) & set(sent)):
            new = seen[path] - sent[path] - {"null"}
            if new and sent[path] - {"null"}:
                result.types.append(f"{packet}{path}: {', '.join(sorted(new))}")
    for error in _errors(frames):
        result.errors[error] += 1
    return result


def _shapes(frames: Iterable[Frame]) -> Shapes:
    shapes: Shapes = {}
    listener = Listener()
    for frame in frames:
        heard = listener.hear(frame)
        if frame.sender == "client":
            continue
        name = ".".join(part for part in (heard.namespace, heard.endpoint, heard.side) if part)
        if heard.side == "error":
            name = f"error {heard.data.get('displayData', {}).get('code', 'without a code')}"
        elif heard.side == "message":
            name = f"message {heard.data.get('type', 'authentication')}"
        elif isinstance(heard.data, dict) and heard.side == "toClientPacket":
            name += f"[{heard.data.get('type')}]"
        fields = shapes.setdefault(name, {})
        for path, kind in _paths(heard.data):
            fields.setdefault(path, set()).add(kind)
    return shapes


def _paths(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field below ``value``. Settings are known by their key, and arguments of tools are nobody's fields."""
    if isinstance(value, dict):
        if set(value) <= {"key", "value"} and "key" in value:
            return
        if path:
            yield path, "object"
        for name, inner in value.items():
            if not path.endswith(".arguments"):
                yield from _paths(inner, f"{path}.{name}")
    elif isinstance(value, list):
        if path:
            yield path, "list"
        for inner in value:
            yield from _paths(inner, f"{path}[]")
    else:
        yield path, _TEXT_TYPES[type(value)]


def _in_empty(path: str, seen: Iterable[str]) -> bool:
    """Whether the field would be in a list that was always empty, as redaction leaves lists of tokens."""
    ends = [at + 2 for at in range(len(path)) if path.startswith("[]", at)]
    return any(not any(other.startswith(path[:end]) for other in seen) for end in ends)


def _errors(frames: Iterable[Frame]) -> Iterator[str]:
    listener = Listener()
    for frame in frames:
        heard = listener.hear(frame)
        if heard.side == "error":
            code = heard.data.get("displayData", {}).get("code", "no code")
            yield f"{heard.namespace}.{heard.endpoint} ({code}): {heard.data.get('title')} / {heard.data.get('cause')}"


def main() -> None:
    """Prints what differs; the exit code is 1 if anything does, 2 if nothing could be compared."""
    parser = argparse.ArgumentParser(prog="python -m tests.standins.lmstudio.compare", description=__doc__)
    parser.add_argument("frames", type=Path, metavar="FRAMES.jsonl", help="what tests.standins.lmstudio.record wrote")
    path = parser.parse_args().frames
    try:
        frames = read_frames(path)
    except OSError as error:
        parser.exit(2, f"{path} cannot be read: {error.strerror}\n")
    except ValueError as error:
        parser.exit(2, f"{path} is no recording: {error}\n")
    if not frames:
        parser.exit(2, f"{path} is an empty recording\n")
    result = compare(frames)
    print("\n".join(result.lines()))
    raise SystemExit(0 if result.same else 1)


if __name__ == "__main__":
    main()
