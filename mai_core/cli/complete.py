"""Completion inside a conversation: /commands, and model keys where a command takes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from mai_core.cli.slash import COMMANDS

__all__ = ["SlashCompleter"]


class SlashCompleter(Completer):
    """Completes only lines that begin with one slash; everything else is prose."""

    def __init__(self, model_keys: Callable[[], Iterable[str]]) -> None:
        self._model_keys = model_keys

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What could stand at the cursor."""
        text = document.text_before_cursor
        if not text.startswith("/") or text.startswith("//") or "\n" in text:
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            for command in COMMANDS.values():
                if command.name.startswith(name):
                    yield Completion(
                        command.name, start_position=-len(name), display=f"/{command.usage}", display_meta=command.help
                    )
        elif (known := COMMANDS.get(name)) and known.takes_model:
            for key in self._model_keys():
                if key.startswith(argument):
                    yield Completion(key, start_position=-len(argument))
