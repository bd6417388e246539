"""Help as plain text with a little colour.

Typer's boxes cost an import of all of rich, four times what the rest of ``mai --help`` takes, and do not read well in
a pipe or a manual.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from mai_core.cli.output import is_fancy

__all__ = ["Command", "Group", "new_app"]

HEADING = re.compile(r"^(\w[\w ]*):(?= |$)", re.MULTILINE)
FIRST_COLUMN = re.compile(r"^  (\S+(?: \S+)*)(?=  |$)", re.MULTILINE)


class Command(TyperCommand):
    """A command with Mai's kind of help."""

    def get_help(self, ctx: Any) -> str:
        """The help, painted for a terminal."""
        return _painted(super().get_help(ctx))


class Group(TyperGroup):
    """A group of commands with Mai's kind of help."""

    def get_help(self, ctx: Any) -> str:
        """The help, painted for a terminal."""
        return _painted(super().get_help(ctx))


class _App(typer.Typer):
    def command(self, name: str | None = None, **options: Any) -> Any:
        return super().command(name, **{"cls": Command, **options})


def new_app(cls: type[TyperGroup] = Group, *, add_completion: bool = False, **options: Any) -> typer.Typer:
    """A Typer whose commands have Mai's kind of help and whose defects show a plain trace."""
    return _App(
        cls=cls,
        add_completion=add_completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
        **options,
    )


def _painted(text: str) -> str:
    if not is_fancy(sys.stdout):
        return text
    head, options, rest = text.partition("\nOptions:")
    head = HEADING.sub("\x1b[1m\\1:\x1b[0m", head)
    return head + HEADING.sub("\x1b[1m\\1:\x1b[0m", FIRST_COLUMN.sub("  \x1b[36m\\1\x1b[0m", options + rest))
