"""``mai switch``: pin a model, or let Mai choose again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import note, print_json
from mai_core.policy.selection import RejectionReason
from mai_core.runtime.status import ModelRow

if TYPE_CHECKING:
    from mai_core.runtime.mai import AsyncMai

__all__ = ["AUTO", "app", "obstacle", "switched"]

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

    async def main() -> tuple[str | None, str]:
        async with invocation.mai() as mai:
            pinned = await mai.switch(None if key == AUTO else key)
            return pinned, "" if pinned is None or as_json else await obstacle(mai, pinned)

    pinned, why_not = run(main)
    if as_json:
        print_json({"pinned": pinned})
    else:
        print(switched(pinned))
    if why_not:
        note(why_not)


def switched(pinned: str | None) -> str:
    """What a person is told after a switch."""
    return f"{pinned} answers from now on; mai switch auto lets Mai choose again." if pinned else "Mai chooses again."


async def obstacle(mai: AsyncMai, key: str) -> str:
    """What keeps the pinned model from answering now, in one line; empty when nothing does.

    Of a model with one placement pinned that placement counts alone, wherever else the model could run.
    """
    meant = [p for row in await mai.models() for p in row.placements if p.pinned]
    rejection = ModelRow.of(meant).best.rejection if meant else None
    if rejection is None:
        return ""
    why = " → ".join(text for text in (rejection.message, rejection.remedy) if text)
    if rejection.reason is RejectionReason.NOT_INSTALLED:
        silent = [b.name for b in (await mai.get_status()).backends if b.error and not b.absent]
        why += f"; {' and '.join(silent)} cannot be asked for it now: mai status says why" if silent else ""
    return f"It cannot run now, so Mai chooses until it can: {why}"
