"""``mai plugins``: what is registered, by whom, and what failed; and a package for a new one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation
from mai_core.cli.output import err, ink, note, out, print_json, print_table
from mai_core.cli.tables import table

if TYPE_CHECKING:
    from rich.table import Table

    from mai_core.plugin.faults import PluginInfo

__all__ = ["app", "plugins_view"]

app = new_app()

_COLOURS = {"ok": "green", "failed": "red", "blocked": "yellow"}


@app.callback(invoke_without_command=True)
def plugins(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What is registered, by whom, and what failed and why. With a command: a package for a plugin of your own."""
    if ctx.invoked_subcommand is None:
        _list(Invocation.of(ctx), as_json)


@app.command(short_help="Write a package for a selection strategy.")
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the strategy is to be called: small letters, digits, dashes.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where to write it; mai-NAME here when left out.")
    ] = None,
) -> None:
    """Write a package for a selection strategy: it installs and passes its tests as it is, to be changed from there."""
    from mai_core.plugin.scaffold import PREFIX, write_strategy

    files = write_strategy(name, to, taken=Invocation.of(ctx).registry().strategies())
    name = name.removeprefix(PREFIX)
    for file in files:
        out().print(ink(str(file)), soft_wrap=True)
    folder = files[0].parent.parent
    note(f"Next: cd {folder} && pip install -e '.[test]' && pytest; then mai bench check {name}")
    note(f"Followed once it is listed: mai config set selection.strategies '[{name}]'")


def _list(invocation: Invocation, as_json: bool) -> None:
    registry = invocation.registry()
    found = registry.describe()
    if as_json:
        print_json(found)
        return
    print_table(plugins_view(found))
    for plugin in found:
        for fault in plugin.faults:
            err().print(ink((f"{plugin.name}", "red"), f" {fault.stage}: {fault.error}"), soft_wrap=True)
            if fault.traceback and invocation.verbose:
                err().print(ink((fault.traceback.rstrip(), "dim")), soft_wrap=True)


def plugins_view(found: Sequence[PluginInfo]) -> Table:
    """One row a plugin."""
    made = table("Plugin", "State", "Registers", "Package", wrap=("Registers",), drop=("Package",))
    for plugin in found:
        faulty = bool(plugin.faults) and plugin.status.value == "ok"
        registers = "\n".join(f"{kind}: {', '.join(names)}" for kind, names in plugin.registers.items() if names)
        made.add_row(
            ink((plugin.name, "cyan")),
            ink(("faulty", "yellow") if faulty else (plugin.status.value, _COLOURS[plugin.status.value])),
            registers or "–",
            ink(f"{plugin.distribution} {plugin.version}".strip() or "–", (f"  {plugin.module}", "dim")),
        )
    return made
