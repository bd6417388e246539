"""``mai switch``: pin a model, or let Mai choose again."""

from __future__ import annotations

from typing import Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import print_json

__all__ = ["AUTO", "app", "switched"]

app = new_app()
AUTO = "auto"


@app.command()
def switch(
    ctx: typer.Context,
    key: Annotated[
        str, typer.Argument(metavar="KEY|auto", help="A model's key or its beginning; auto releases the pin.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Pin a model for the coming turns, or let Mai choose again."""
    invocation = Invocation.of(ctx)

    async def main() -> str | None:
        async with invocation.mai() as mai:
            return await mai.switch(None if key == AUTO else key)

    pinned = run(main)
    if as_json:
        print_json({"pinned": pinned})
    else:
        print(switched(pinned))


def switched(pinned: str | None) -> str:
    """What a person is told after a switch."""
    return f"{pinned} answers from now on; mai switch auto lets Mai choose again." if pinned else "Mai chooses again."
