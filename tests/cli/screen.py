"""The few escape sequences the command line uses, as a terminal would follow them."""

from __future__ import annotations

import re

TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """An endless sheet of lines and a cursor; moving above what scrolled away is an error, as it would be for real."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._lines = [""]
        self._row = self._column = 0
        self._width = 2**31
        self._continued: set[int] = set()

    def resize(self, width: int) -> None:
        """Wrap all lines anew, as a terminal does whose window has become narrower or wider."""
        self._width = width
        rows: list[str] = []
        continued: set[int] = set()
        for number, row in enumerate(self._lines):
            if number in self._continued:
                rows[-1] += row
            else:
                rows.append(row)
        self._lines = []
        for row in rows:
            pieces = [row[at : at + width] for at in range(0, len(row), width)] or [""]
            continued.update(range(len(self._lines) + 1, len(self._lines) + len(pieces)))
            self._lines += pieces
        self._continued = continued
        self._row, self._column = len(self._lines) - 1, len(self._lines[-1])

    def write(self, text: str) -> None:
        for arguments, command, move, plain in TOKEN.findall(text):
            if plain:
                self._put(plain)
            elif move == "\r":
                self._column = 0
            elif move == "\n":
                self._go_down()
            elif command == "A":
                self._row -= int(arguments or 1)
                assert self._row >= max(0, len(self._lines) - self._height), "the cursor left the screen"
            elif command == "J":
                del self._lines[self._row + 1 :]
                self._continued = {row for row in self._continued if row < self._row + bool(self._column)}
                self._lines[self._row] = self._lines[self._row][: self._column]
            elif command not in "mhl":
                raise AssertionError(f"unknown sequence {arguments}{command}")

    def _put(self, plain: str) -> None:
        while plain:
            if self._column >= self._width:
                self._go_down()
                self._continued.add(self._row)
            piece, plain = plain[: self._width - self._column], plain[self._width - self._column :]
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + piece + line[self._column + len(piece) :]
            self._column += len(piece)

    def _go_down(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._lines):
            self._lines.append("")

    def flush(self) -> None:
        return

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._lines]
