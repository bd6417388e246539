"""``mai rm``: delete models that Mai fetched."""

from __future__ import annotations

from typing import Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import print_json, size

__all__ = ["app"]

app = new_app()


@app.command()
def rm(
    ctx: typer.Context,
    keys: Annotated[list[str], typer.Argument(metavar="KEY", help="Models to delete.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Delete models that Mai fetched. What other tools put on this disk is left alone."""
    invocation = Invocation.of(ctx)
    freed: dict[str, int] = {}

    async def main() -> None:
        async with invocation.mai() as mai:
            for key in keys:
                freed[key] = await mai.remove(key)
                if not as_json:
                    print(f"{key} deleted, {size(freed[key]) if freed[key] else 'nothing'} freed")

    run(main)
    if as_json:
        print_json({"freed": freed})
