"""``mai status``: what is loaded, where, and how much memory is left."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from mai_core.cli.help import new_app
from mai_core.cli.invocation import Invocation, run
from mai_core.cli.output import ink, is_fancy, note, out, print_json, print_table, seconds, size, tokens
from mai_core.cli.tables import table

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mai_core.policy.models import LoadedModel
    from mai_core.policy.selection import Rejection
    from mai_core.runtime.status import BackendStatus, Held, Status

__all__ = ["app", "host_name", "status_view", "tell_of_faults"]

app = new_app()


@app.command()
def status(
    ctx: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again until Ctrl-C.", show_default=False)
    ] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, metavar="SECONDS", help="How often --watch looks.")
    ] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch one document a line.")] = False,
) -> None:
    """What is loaded, where, and how much memory is left."""
    invocation = Invocation.of(ctx)

    async def main() -> None:
        async with invocation.mai() as mai:
            if not watch:
                _print(await mai.get_status(), as_json)
            elif as_json or not is_fancy(out().file):
                while True:
                    _print(await mai.get_status(), as_json)
                    await asyncio.sleep(interval)
            else:
                from rich.live import Live

                with Live(console=out(), auto_refresh=False, screen=True) as live:
                    while True:
                        live.update(status_view(await mai.get_status()), refresh=True)
                        await asyncio.sleep(interval)

    run(main)


def _print(status: Status, as_json: bool) -> None:
    if as_json:
        print_json(status)
        return
    print_table(status_view(status))
    for fault in status.probe_faults:
        note(f"a sensor failed: {fault}", style="yellow")
    tell_of_faults(status.backends)


def tell_of_faults(backends: Iterable[BackendStatus]) -> None:
    """One line on standard error for every backend that should be there and is not."""
    for backend in backends:
        if backend.error and not backend.absent:
            named = backend.error.startswith((f"{backend.name}:", "backends."))
            told = " → ".join(part for part in (backend.error, backend.remedy) if part)
            note(told if named else f"{backend.name}: {told}", style="yellow")


def status_view(status: Status) -> Group:
    """Everything a person wants to know at a glance."""
    from rich.console import Group, RenderableType

    parts: list[RenderableType] = [_headline(status)]
    if any(process.loaded for process in status.processes) or status.loaded:
        parts += ["", _loaded(status)]
        parts += [ink((key, "cyan"), f"  {words}") for key, words in sorted(status.rungs.items())]
    if status.kept_out:
        parts += ["", _kept_out(status.kept_out)]
    parts += ["", *_hosts(status)]
    if status.processes:
        parts += ["", _processes(status)]
    if status.backends:
        parts += ["", _backends(status)]
    return Group(*parts)


def _headline(status: Status) -> Table:
    grid = table("name", "value", header=False)
    grid.add_row(ink(("Model", "bold")), ink((status.current, "bold cyan") if status.current else ("none yet", "dim")))
    if status.pinned:
        release = ("  mai switch auto releases it", "dim")
        grid.add_row(ink(("Pinned", "bold")), ink((status.pinned, "yellow"), release))
    if spent := status.budget.words:
        unsettled = (f"  {told}", "dim") if (told := status.budget.words_of_open) else ""
        grid.add_row(ink(("Spent", "bold")), ink(spent, unsettled))
    return grid


def _loaded(status: Status) -> Table:
    numbers = ("Context", "Memory", "Mapped", "Predicted")
    columns = ("Loaded", *numbers, "Known", "Off", "Where", "By")
    leaving = ("Where", "Off", "By", "Context", "Known", "Predicted")
    made = table(*columns, right=(*numbers, "Off"), drop=leaving)
    for model, owner in _instances(status):
        made.add_row(
            ink((model.key, "cyan"), (" answering", "green") if model.leased else ""),
            tokens(model.plan.context),
            size(model.footprint.anonymous + sum(model.footprint.devices.values())),
            size(model.footprint.file_backed),
            *_predicted(status.held.get(model.key) if model.owned else None),
            model.backend + ("" if model.host == "local" else f" on {model.host}"),
            f"process {owner}" if model.owned else ink(("not Mai", "dim")),
        )
    return made


def _predicted(held: Held | None) -> tuple[str, str, str]:
    """What is predicted in all for what was in its context when it was last measured, how that is known, and how far
    what was seen is from it."""
    if held is None:
        return "–", "–", "–"
    estimated = held.estimated
    told = f"{size(estimated.footprint.total)} ±{estimated.error:.1%}"
    return told, estimated.basis.value, f"{held.deviation:+.1%}"


def _kept_out(rejections: Iterable[Rejection]) -> Table:
    made = table("Kept out", "Why", "What gets it back", wrap=("Why", "What gets it back"))
    for rejection in rejections:
        made.add_row(ink((rejection.key, "yellow")), rejection.message, ink((rejection.remedy, "dim")))
    return made


def _instances(status: Status) -> Iterable[tuple[LoadedModel, int]]:
    """Every model in memory once, beside the process that loaded it, or that tells of it.

    An instance has its name from its backend: two backends may use the same, and so may two processes. What one
    process loaded is to the others an instance that is not theirs.
    """
    notes = {process.pid: process.loaded for process in status.processes} | {os.getpid(): status.loaded}
    told = [(model, pid) for pid, models in notes.items() for model in models]
    owned = {(model.backend, model.instance) for model, _ in told if model.owned}
    rows = {}
    for model, pid in told:
        place = model.backend, model.instance
        if model.owned:
            rows[*place, pid] = model, pid
        elif place not in owned:
            rows.setdefault((*place, 0), (model, pid))
    return rows.values()


def _hosts(status: Status) -> Iterable[Table]:
    from mai_core.cli.hostview import host_view

    hosts = status.resources.hosts
    return [host_view(host, alone=len(hosts) == 1) for host in hosts]


def _processes(status: Status) -> Table:
    columns = ("Process", "State", "Model", "Conversation", "Since")
    made = table(*columns, right=("Since",), drop=("Conversation", "Since"))
    for process in status.processes:
        here = (" this one", "dim") if process.pid == os.getpid() else ""
        made.add_row(
            ink(f"{process.pid} {_short(process.command)}", here),
            process.state,
            process.model or "–",
            process.conversation or "–",
            seconds(max(0.0, time.time() - process.started)),
        )
    return made


def _short(command: str) -> str:
    """``mai chat`` for ``/usr/bin/mai chat`` and for ``.../mai_core/__main__.py chat``."""
    program, _, rest = command.partition(" ")
    name = PurePath(program).name
    return f"{'mai' if name == '__main__.py' else name} {rest}".strip()


def _backends(status: Status) -> Group:
    """Those that offer something or should; of those only looked for and not there, their names."""
    from rich.console import Group

    missing = [b.name for b in status.backends if b.absent and not b.note and not b.remedy]
    made = table("Backend", "Type", "Host", "Models", "", right=("Models",), wrap=("",), drop=("Type", "Host"))
    for backend in status.backends:
        if backend.name not in missing:
            host = host_name(backend.host, remote=backend.remote)
            made.add_row(backend.name, backend.kind, host, *_offered(backend))
    looked_for = [ink((f"Looked for, and not running here: {', '.join(missing)}", "dim"))] if missing else []
    return Group(made, *looked_for)


def host_name(host: str, *, remote: bool) -> str:
    """A machine as a person calls it; one that is reached through a door of this one is still another."""
    if not remote:
        return host
    return "another machine" if host == "local" else f"{host} (remote)"


def _offered(backend: BackendStatus) -> tuple[str | Text, Text]:
    """The number of models and what there is to say of them."""
    if backend.absent:
        told = " · ".join(part for part in (backend.error, backend.note or backend.remedy) if part)
        return "–", ink((told, "dim"))
    if backend.error:
        return ink(("unavailable", "red")), ink((backend.note, "dim"))
    return str(backend.models), ink((backend.note, "dim"))
