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

    def write(self, text: str) -> None:
        for arguments, command, move, plain in TOKEN.findall(text):
            if plain:
                line = self._lines[self._row].ljust(self._column)
                self._lines[self._row] = line[: self._column] + plain + line[self._column + len(plain) :]
                self._column += len(plain)
            elif move == "\r":
                self._column = 0
            elif move == "\n":
                self._row, self._column = self._row + 1, 0
                if self._row == len(self._lines):
                    self._lines.append("")
            elif command == "A":
                self._row -= int(arguments or 1)
                assert self._row >= max(0, len(self._lines) - self._height), "the cursor left the screen"
            elif command == "J":
                del self._lines[self._row + 1 :]
                self._lines[self._row] = self._lines[self._row][: self._column]
            elif command not in "mhl":
                raise AssertionError(f"unknown sequence {arguments}{command}")

    def flush(self) -> None:
        return

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._lines]
