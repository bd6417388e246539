"""``mai logs``: what Mai noted about models and memory."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation
from mai_core.cli.output import ink, note, out, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from mai_core.runtime.logs import LogEntry

__all__ = ["app"]

app = new_app()

_COLOURS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}


class Level(StrEnum):
    """How important an entry is at least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command()
def logs(
    ctx: typer.Context,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="How many entries.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new entries come, until Ctrl-C.")] = False,
    level: Annotated[Level, typer.Option("--level", "-l", help="Only entries at least this important.")] = Level.DEBUG,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """What Mai noted about models and memory. Nothing you or a model wrote is in it, unless you set log.content."""
    from mai_core.runtime.logs import follow as follow_entries
    from mai_core.runtime.logs import tail

    file = Invocation.of(ctx).paths.log_file
    empty = True
    for entry in (follow_entries if follow else tail)(file, lines, level.value):
        empty = False
        if as_json:
            print_json(entry, compact=True)
        else:
            out().print(_line(entry), soft_wrap=True)
    if empty and not as_json:
        note(f"Nothing is logged yet in {file}.")


def _line(entry: LogEntry) -> Text:
    return ink(
        (_local(entry.time), "dim"),
        "  ",
        (f"{entry.level:<7}", _COLOURS.get(entry.level, "")),
        f"  {entry.message}",
        (f"  {entry.logger}", "cyan"),
        ("".join(f"  {name}={value}" for name, value in entry.fields.items()), "dim"),
    )


def _local(time: str) -> str:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return time
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
