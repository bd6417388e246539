"""A group of commands whose modules are imported when they are used, not when they are listed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer

from mai_core.cli.help import Command, Group

__all__ = ["NO_PLUGINS", "CommandEntry", "LazyGroup"]

FROM_PLUGINS = "mai.plugin_commands"
NO_PLUGINS: Mapping[str, Any] = {FROM_PLUGINS: {}}
"""What a context's ``meta`` holds when the commands of plugins are to be left out."""


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One line of ``mai --help``: the module that holds ``app``, what the command does, and its group of commands."""

    module: str
    help: str
    panel: str


class LazyGroup(Group):
    """Lists ``entries`` from the table alone and imports a command once it is to run, complete or explain itself.

    Commands of plugins come from ``plugin_commands``, which is asked only when somebody wants the whole list or a
    name the table does not know. So no plugin can slow down or shadow a command of Mai itself.
    """

    # Typer's own classes take and give click objects, of the click it is built on; hence ``Any`` below.
    entries: ClassVar[Mapping[str, CommandEntry]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Mai's own commands in the order of the table, then those of plugins."""
        return [*self.entries, *(name for name in self._from_plugins(ctx) if name not in self.entries)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that knows the command's name and help; ``resolve_command`` gives the command itself."""
        if entry := self.entries.get(cmd_name):
            return Command(cmd_name, help=entry.help, rich_markup_mode=None)
        return self._from_plugins(ctx).get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is to run; an unknown name suggests the nearest known one."""
        if args and args[0] in self.entries:
            return args[0], self.load(args[0]), args[1:]
        # What typer searches for suggestions.
        self.commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One section a panel, so that the list can be taken in at a glance."""
        names = self.list_commands(ctx)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            panel = self.entries[name].panel if name in self.entries else "From plugins"
            command = self.get_command(ctx, name)
            if not command.hidden:
                panels.setdefault(panel, []).append((name, command.get_short_help_str(formatter.width)))
        widest = max(map(len, names))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(widest), help) for name, help in rows])

    @classmethod
    def load(cls, name: str) -> Any:
        """Import a command of the table."""
        entry = cls.entries[name]
        loaded = typer.main.get_command(importlib.import_module(entry.module).app)
        loaded.name = name
        return loaded

    @staticmethod
    def plugin_commands(ctx: Any) -> Mapping[str, Any]:
        """The commands plugins add, by name."""
        return {}

    def _from_plugins(self, ctx: Any) -> Mapping[str, Any]:
        root = ctx.find_root()
        if FROM_PLUGINS not in root.meta:
            root.meta[FROM_PLUGINS] = self.plugin_commands(root)
        found: Mapping[str, Any] = root.meta[FROM_PLUGINS]
        return found
