"""The table of commands and the options that stand before all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mai_core.cli.help import new_app
from mai_core.cli.lazy import CommandEntry, LazyGroup

__all__ = ["COMMANDS", "command"]

TALK, MODELS, MACHINE = "Talk", "Models", "Mai itself"

COMMANDS: Mapping[str, CommandEntry] = {
    "chat": CommandEntry("mai_core.cli.chat", "Talk to the model that serves best right now.", TALK),
    "why": CommandEntry(
        "mai_core.cli.why", "Explain the last choice of model, or try a prompt without running it.", TALK
    ),
    "rate": CommandEntry("mai_core.cli.rate", "Say how the last reply was, or see what that taught.", TALK),
    "history": CommandEntry("mai_core.cli.history", "List, show, search, export and delete conversations.", TALK),
    "models": CommandEntry("mai_core.cli.models", "Every model there is, and how it fits this machine now.", MODELS),
    "switch": CommandEntry("mai_core.cli.switch", "Pin a model for the coming turns, or let Mai choose again.", MODELS),
    "pull": CommandEntry("mai_core.cli.pull", "Fetch a model and verify it.", MODELS),
    "rm": CommandEntry("mai_core.cli.rm", "Delete models that Mai fetched.", MODELS),
    "status": CommandEntry("mai_core.cli.status", "What is loaded, where, and how much memory is left.", MACHINE),
    "plugins": CommandEntry("mai_core.cli.plugins", "What is registered, by whom, and what failed.", MACHINE),
    "config": CommandEntry("mai_core.cli.config", "Show, change and check the settings.", MACHINE),
    "calibrate": CommandEntry(
        "mai_core.cli.calibrate", "Measure this machine with the models it has, in about a minute.", MACHINE
    ),
    "bench": CommandEntry(
        "mai_core.cli.bench", "Measure how good Mai's own judgement is, here and in simulations.", MACHINE
    ),
    "logs": CommandEntry("mai_core.cli.logs", "What Mai noted about models and memory.", MACHINE),
}


class _Mai(LazyGroup):
    entries = COMMANDS

    @staticmethod
    def plugin_commands(ctx: Any) -> Mapping[str, Any]:
        from mai_core.cli.extra import plugin_commands
        from mai_core.cli.invocation import Invocation

        return plugin_commands(Invocation.of(ctx))


def _print_version(value: bool) -> None:
    if value:
        from mai_core import __version__

        print(f"mai {__version__}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting for this command.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log on standard error.")] = False,
    trace_plugins: Annotated[
        bool, typer.Option("--trace-plugins", help="Show every call of a plugin on standard error.")
    ] = False,
    block: Annotated[
        list[str] | None, typer.Option("--block", metavar="NAME", help="Leave a plugin out for this command.")
    ] = None,
) -> None:
    """A local-first assistant that picks, loads and switches the local model that serves best right now."""
    from mai_core.cli.invocation import Invocation

    ctx.obj = Invocation(
        overrides=tuple(overrides or ()), verbose=verbose, trace_plugins=trace_plugins, block=tuple(block or ())
    )


def command() -> Any:
    """The whole program as a click command."""
    app = new_app(_Mai, add_completion=True, no_args_is_help=True)
    app.callback(epilog="Start with: mai chat")(_root)
    return typer.main.get_command(app)
