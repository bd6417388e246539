"""Reading CSV files of others: every cell is checked where it is read, and a fault names its line and column."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mai_core.errors import MaiError

__all__ = ["Row", "TableError", "header", "rows"]

# A prompt may be a whole document.
LONGEST_CELL = 10_000_000


class TableError(MaiError):
    """A table is not what its columns promise; the message says which file, line and column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, which begins at ``line``, the header being line 1."""

    file: Path
    line: int
    cells: dict[str, str]

    def fault(self, column: str, what: str) -> TableError:
        """The error to raise about a cell."""
        return TableError(f"{self.file.name}, line {self.line}, column {column}: {what}")

    def text(self, column: str) -> str:
        """A cell that must not be empty."""
        value = self.cells[column].strip()
        if not value:
            raise self.fault(column, "is empty")
        return value

    def number_in(self, column: str, least: float = 0.0, most: float = math.inf) -> float:
        """A finite number between ``least`` and ``most``."""
        written = self.text(column)
        try:
            value = float(written)
        except ValueError:
            raise self.fault(column, f"{written!r} is not a number") from None
        if not math.isfinite(value) or not least <= value <= most:
            bounds = f"between {least:g} and {most:g}" if math.isfinite(most) else f"of {least:g} or more"
            raise self.fault(column, f"{written} is not a number {bounds}")
        return value


def header(file: Path) -> Sequence[str]:
    """The names of the columns."""
    return next(_records(file))[1]


def rows(file: Path, needed: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file, plain or ``.gz``, in UTF-8. Raises ``TableError`` for anything else."""
    records = _records(file)
    _, names = next(records)
    missing = [name for name in needed if name not in names]
    if missing:
        raise TableError(f"{file.name}: no column {', '.join(missing)}; there are {', '.join(names)}")
    if len(set(names)) < len(names):
        raise TableError(f"{file.name}: a column occurs twice: {', '.join(names)}")
    for line, cells in records:
        if len(cells) != len(names):
            raise TableError(f"{file.name}, line {line}: {len(cells)} cells for {len(names)} columns")
        yield Row(file, line, dict(zip(names, cells, strict=True)))


def _records(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it begins at: a cell in quotes may hold several lines."""
    csv.field_size_limit(LONGEST_CELL)
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
            reader, begins, told = csv.reader(text, strict=True), 1, False
            for cells in reader:
                if cells:
                    told = True
                    yield begins, cells
                begins = reader.line_num + 1
            if not told:
                raise TableError(f"{file.name}: is empty")
    except FileNotFoundError:
        raise TableError(f"{file}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{file.name}: cannot be read: {error}") from error
