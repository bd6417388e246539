"""How everything looks: consoles, tables, sizes and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from mai_core.errors import MaiError

__all__ = [
    "ago",
    "err",
    "error_line",
    "ink",
    "is_fancy",
    "note",
    "out",
    "print_json",
    "print_table",
    "seconds",
    "share",
    "size",
    "to_json",
    "tokens",
]

# Wide enough that no row of a table breaks when a program reads it.
PIPE_WIDTH = 1000

# Only the sixteen colours a person has chosen for the terminal, and its own background.
THEME = {
    "markdown.code": "cyan",
    "markdown.item.bullet": "cyan",
    "markdown.item.number": "cyan",
    "markdown.block_quote": "dim",
    "markdown.hr": "bright_black",
    "markdown.link": "underline",
    "markdown.link_url": "dim",
    "markdown.table.header": "bold",
    "markdown.table.border": "bright_black",
}


def is_fancy(stream: IO[str]) -> bool:
    """Whether colours, cursor movement and progress bars belong on this stream."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "") in ("dumb", "unknown"):
        return False
    return stream.isatty()


def _console(stream: IO[str]) -> Console:
    from rich.console import Console
    from rich.theme import Theme

    fancy = is_fancy(stream)
    return Console(
        file=stream,
        color_system="auto" if fancy else None,
        force_terminal=fancy,
        highlight=False,
        emoji=False,
        markup=False,
        theme=Theme(THEME),
        width=None if stream.isatty() else PIPE_WIDTH,
    )


def out() -> Console:
    """Standard output: plain text unless it is a terminal that wants colours."""
    return _console(sys.stdout)


def err() -> Console:
    """Standard error, under the same rule."""
    return _console(sys.stderr)


def error_line(error: MaiError) -> str:
    """A failure in one line: what went wrong and, after the arrow, what to do about it.

    On a terminal it breaks between words.
    """
    text = f"{error.message} → {error.remedy}" if error.remedy else error.message
    line = "mai: " + " ".join(text.split())
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    if is_fancy(sys.stderr):
        line = f"\x1b[31mmai:\x1b[0m{line.removeprefix('mai:')}"
    return line


def note(text: str, *, style: str = "dim") -> None:
    """A discreet remark beside the output, on standard error."""
    console = err()
    console.print(ink((text, style)), soft_wrap=not console.is_terminal)


def to_json(value: Any) -> Any:
    """A value of Mai as JSON types: dataclasses and named tuples become objects, infinities and NaN ``null``.

    Sets become sorted lists, enums their values, paths strings, errors ``{"error", "message", "remedy"}``.
    """
    from mai_core.errors import MaiError

    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, MaiError):
        return {"error": type(value).__name__, "message": value.message, "remedy": value.remedy}
    if dataclasses.is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: to_json(item) for name, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(to_json(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(to_json(item) for item in value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Iterable):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_json(value: Any, *, compact: bool = False) -> None:
    """One JSON document on standard output: indented for a person, on one line for a program or when ``compact``."""
    indent = 2 if sys.stdout.isatty() and not compact else None
    print(json.dumps(to_json(value), ensure_ascii=False, indent=indent), flush=True)


def print_table(made: RenderableType) -> None:
    """Show a table on standard output, without trailing blanks when a program reads it."""
    console = out()
    if console.is_terminal:
        console.print(made)
        return
    with console.capture() as captured:
        console.print(made)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def ink(*parts: str | tuple[str, str]) -> Text:
    """A piece of text, its parts plain or with a style. Strings are never read as markup, so any name is safe."""
    from rich.text import Text

    return Text.assemble(*parts)


def size(amount: float) -> str:
    """Bytes for a person, in binary units."""
    if not amount:
        return "–"
    value = abs(amount)
    sign = "-" if amount < 0 else ""
    for unit, factor, digits in (("GiB", 2**30, 1), ("MiB", 2**20, 0), ("KiB", 2**10, 0)):
        if value >= factor:
            return f"{sign}{value / factor:.{digits}f} {unit}"
    return f"{sign}{value:.0f} B"


def tokens(amount: int) -> str:
    """A number of tokens: 8k for 8192, 700 for 700."""
    if amount >= 1024 and amount % 1024 == 0:
        return f"{amount // 1024}k"
    return f"{amount / 1000:.1f}k" if amount >= 10_000 else str(amount)


def seconds(amount: float) -> str:
    """A duration: milliseconds below a second, one decimal below ten, then minutes and hours."""
    if not math.isfinite(amount):
        return "–"
    if amount < 0.0005:
        return "0 s"
    if amount < 1:
        return f"{amount * 1000:.0f} ms"
    if amount < 10:
        return f"{amount:.1f} s"
    if amount < 90:
        return f"{amount:.0f} s"
    if amount < 5400:
        return f"{amount / 60:.0f} min"
    if amount < 129_600:
        return f"{amount / 3600:.0f} h"
    return f"{amount / 86_400:.0f} d"


def ago(epoch: float) -> str:
    """How long ago a moment was, in seconds since the epoch."""
    elapsed = max(0.0, time.time() - epoch)
    return "just now" if elapsed < 10 else f"{seconds(elapsed)} ago"


def share(fraction: float) -> str:
    """A share from 0 to 1 as a percentage."""
    return f"{fraction:.0%}"
