"""Tables that fit the terminal: what matters stays readable, what does not leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["FittingTable", "table"]

GAP = 2
# A column of text narrower than this is no longer read but spelled.
LEAST_TEXT = 22
LEAST_NAME = 10
MOST = 1000


class FittingTable(Table):
    """A table without lines that gives way in three steps when it is too wide.

    First columns leave, in the order of ``drop``; text in ``wrap`` columns breaks over lines all the while; at last the
    longest names are cut. Cells are strings or ``Text``.
    """

    def __init__(self, *, wrap: Iterable[str], drop: Sequence[str], header: bool) -> None:
        super().__init__(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=header)
        self._wrap = frozenset(wrap)
        self._drop = drop

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what fits."""
        everything = self.columns
        self.columns = self._fitted(options.max_width)
        yield from super().__rich_console__(console, options)
        self.columns = everything

    def _fitted(self, width: int) -> list[Column]:
        columns = [replace(column) for column in self.columns]
        natural = {id(column): self._width(column) for column in columns}

        def excess() -> int:
            least = (min(natural[id(c)], LEAST_TEXT) if c.header in self._wrap else natural[id(c)] for c in columns)
            return sum(least) + GAP * len(columns) - width

        for name in self._drop:
            if excess() <= 0:
                break
            columns = [column for column in columns if column.header != name]
        for column in sorted(columns, key=lambda c: -natural[id(c)]):
            if excess() > 0 and column.header not in self._wrap:
                natural[id(column)] = max(LEAST_NAME, natural[id(column)] - excess())
        room = width - GAP * len(columns) - sum(natural[id(c)] for c in columns if c.header not in self._wrap)
        texts = sorted((c for c in columns if c.header in self._wrap), key=lambda c: natural[id(c)])
        for left, column in zip(range(len(texts), 0, -1), texts, strict=True):
            natural[id(column)] = max(1, min(natural[id(column)], room // left))
            room -= natural[id(column)]
        # Rich knows the last column, which needs no gap, by its index.
        return [replace(column, width=natural[id(column)], _index=place) for place, column in enumerate(columns)]

    def _width(self, column: Column) -> int:
        cells = [column.header, *column.cells] if self.show_header else column.cells
        lines = (line for cell in cells for line in (cell.plain if isinstance(cell, Text) else str(cell)).splitlines())
        return min(max(map(cell_len, lines), default=0), column.max_width or MOST)


def table(
    *columns: str, right: Iterable[str] = (), wrap: Iterable[str] = (), drop: Sequence[str] = (), header: bool = True
) -> FittingTable:
    """An empty table. ``right`` columns are numbers, ``wrap`` ones may break, ``drop`` ones leave first."""
    made = FittingTable(wrap=wrap, drop=drop, header=header)
    numbers, texts = frozenset(right), frozenset(wrap)
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in numbers else "left",
            no_wrap=column not in texts,
            overflow="fold" if column in texts else "ellipsis",
        )
    return made
