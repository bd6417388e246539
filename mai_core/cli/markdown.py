"""A reply's markdown on a terminal: rendered while it arrives, without flicker, however long it becomes.

A reply is a sequence of blocks. Those that can no longer change are printed for good; only the last, open one is
drawn again as text arrives, and of it only the lines that changed.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from markdown_it import MarkdownIt
from rich import box
from rich.cells import cell_len
from rich.markdown import CodeBlock, Heading, Markdown, TableElement
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["LiveMarkdown", "render_markdown", "rewraps_lines", "split_blocks"]

# A line longer than this is tiring to read, however wide the terminal is.
READABLE_WIDTH = 100

MOST_REOPENED = 64
"""Blocks that can be taken back; no screen shows more."""

# HTML stays visible as text: in a chat `<div>` is something a person talks about.
PARSER = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")


def split_blocks(text: str) -> tuple[list[str], str]:
    """Cut a growing text into the blocks that can no longer change and the last, open one.

    Only whole lines are judged, since an unfinished one (``2`` of ``2. next``) may still join the block before it.
    """
    whole = text.rpartition("\n")[0] + "\n"
    starts = [t.map[0] for t in PARSER.parse(whole) if t.level == 0 and t.map and t.nesting >= 0]
    lines = text.split("\n")
    done = ["\n".join(lines[start:end]) for start, end in pairwise([0, *starts[1:]])]
    return done, "\n".join(lines[starts[-1] :]) if len(starts) > 1 else text


class _Heading(Heading):
    """Left-aligned and bold, as in a text, not a poster."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text
        text.justify = "left"
        text.stylize("bold underline" if self.tag == "h1" else "bold")
        yield text


class _Code(CodeBlock):
    """In the terminal's own colours, indented instead of boxed so that it can be copied."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        yield Syntax(
            code, self.lexer_name, theme="ansi_dark", word_wrap=True, padding=(0, 2), background_color="default"
        )


class _Table(TableElement):
    """Thin lines, and no wider than its content."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for made in super().__rich_console__(console, options):
            if isinstance(made, Table):
                made.box = box.SIMPLE_HEAD
                made.show_edge = False
                made.pad_edge = False
            yield made


class _ChatMarkdown(Markdown):
    """Markdown as chat models mean it: a line break is a line break."""

    elements: ClassVar[dict[str, Any]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "table_open": _Table,
    }

    def __init__(self, markup: str) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = markup
        self.parsed = PARSER.parse(markup)
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "softbreak":
                    child.type = "hardbreak"


def render_markdown(console: Console, text: str, width: int = 0) -> list[str]:
    """The lines of a text as the terminal is to show them, escape sequences included, without blank edges.

    ``width`` in columns; 0 goes by the terminal's.
    """
    drawing = copy.copy(console)
    drawing.width = width or min(console.width, READABLE_WIDTH)
    with drawing.capture() as captured:
        drawing.print(_ChatMarkdown(text))
    lines = [line.rstrip() for line in captured.get().split("\n")]
    while lines and not Text.from_ansi(lines[0]).plain.strip():
        lines.pop(0)
    while lines and not Text.from_ansi(lines[-1]).plain.strip():
        lines.pop()
    return lines


def rewraps_lines(environment: Mapping[str, str]) -> bool:
    """Whether the terminal wraps its lines anew when its window is resized, as all but a few old ones do."""
    if "TMUX" in environment:
        return True
    return "XTERM_VERSION" not in environment and not environment.get("TERM", "").startswith(("linux", "screen"))


class LiveMarkdown:
    """A reply that is drawn while it arrives. ``console`` must be a terminal; the cursor is left below the reply.

    ``waiting`` is what the reply waits for, shown below it until it goes on. ``rewraps``: see ``rewraps_lines``.
    """

    def __init__(self, console: Console, *, rewraps: bool = True) -> None:
        self._console = console
        self._rewraps = rewraps
        self.waiting = ""
        self._open = ""
        self._drawn: list[str] = []
        self._width = 0
        self._gap = ""
        self._finished: deque[tuple[str, list[str]]] = deque(maxlen=MOST_REOPENED)

    def feed(self, text: str) -> None:
        """Add the next piece of the reply; nothing is drawn yet."""
        self._open += text
        self.waiting = ""

    def retract(self, characters: int) -> None:
        """Take back the end of the reply, as far as the screen still shows it; nothing is drawn yet."""
        while characters > len(self._open) and self._finished:
            block, lines = self._finished[-1]
            shown = [*lines, "", *self._drawn] if lines and self._drawn else lines or self._drawn
            if self._rows(shown) >= self._console.height:
                break
            self._finished.pop()
            self._open, self._drawn = f"{block}\n{self._open}", shown
            self._gap = "" if lines else self._gap
        self._open = self._open[: max(0, len(self._open) - characters)]

    def draw(self) -> None:
        """Bring the terminal up to date."""
        self._finish_blocks()
        below = ["", self._line(self.waiting)] if self.waiting else []
        self._paint([*self._render(self._open)[-max(1, self._console.height - 2 - len(below)) :], *below])

    def close(self) -> None:
        """Print what is still open for good."""
        self._open += "\n"
        self._finish_blocks()
        self._finish(self._open)
        self._open = ""
        if self._gap:
            self._gap = ""
            self._write("\n")

    def _finish_blocks(self) -> None:
        done, self._open = split_blocks(self._open)
        for block in done:
            self._finish(block)

    def _finish(self, block: str) -> None:
        self._paint(self._render(block))
        self._finished.append((block, self._drawn))
        if self._drawn:
            self._drawn, self._gap = [], "\n\n"

    def _render(self, block: str) -> list[str]:
        # A block keeps the width it began with when the window is resized: of the lines that a terminal wraps anew,
        # nobody can tell which are still on the screen and could be drawn once more.
        if not self._drawn:
            self._width = min(self._console.width, READABLE_WIDTH)
        return render_markdown(self._console, block, self._width) if block.strip() else []

    def _line(self, text: str) -> str:
        """A remark that takes one line, however narrow the terminal is."""
        with self._console.capture() as captured:
            self._console.print(Text(text, "dim"), no_wrap=True, overflow="ellipsis", end="")
        return captured.get()

    def _paint(self, lines: list[str]) -> None:
        # The cursor rests at the end of the last drawn line, so that only lines that changed are written again.
        old, same = self._drawn, 0
        while same < min(len(old), len(lines)) and old[same] == lines[same]:
            same += 1
        if same == len(old) == len(lines):
            return
        parts = []
        if same == len(old) - 1 < len(lines) and lines[same].startswith(old[same]):
            # Nothing is moved or erased, whatever became of the window.
            parts.append(lines[same][len(old[same]) :])
            parts.extend("\n" for _ in lines[same + 1 : same + 2])
            same += 1
        elif same < len(old):
            # What has scrolled off the screen is out of reach.
            up = min(self._rows(old[same:]), self._console.height) - 1
            parts.append(f"\x1b[{up}A" if up else "")
            parts.append("\r\x1b[J")
            if same == len(lines) > 0:
                parts.append("\x1b[A\r" + lines[-1])
        else:
            parts.append("\n" if old else self._gap)
        parts.append("\n".join(lines[same:]))
        self._drawn = lines
        if lines:
            self._gap = ""
        self._write("".join(parts))

    def _rows(self, lines: list[str]) -> int:
        """How many rows of the screen drawn lines take: one each until the window becomes narrower."""
        width = self._console.width if self._rewraps else 0
        return sum(-(-cell_len(Text.from_ansi(line).plain) // width) or 1 if width else 1 for line in lines)

    def _write(self, text: str) -> None:
        # Terminals that know mode 2026 show the whole change at once; the others ignore it.
        file = self._console.file
        file.write(f"\x1b[?2026h{text}\x1b[?2026l")
        file.flush()
