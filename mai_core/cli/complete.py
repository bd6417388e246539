"""Completion inside a conversation: /commands, and model keys or files where a command takes one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from mai_core.cli.slash import COMMANDS

__all__ = ["SlashCompleter"]

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


class SlashCompleter(Completer):
    """Completes only lines that begin with one slash; everything else is prose."""

    def __init__(self, model_keys: Callable[[], Iterable[str]]) -> None:
        self._model_keys = model_keys
        self._files = PathCompleter(expanduser=True, file_filter=_may_be_shown)

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
        elif (known := COMMANDS.get(name)) is None:
            return
        elif known.takes_model:
            for key in self._model_keys():
                if key.startswith(argument):
                    yield Completion(key, start_position=-len(argument))
        elif known.takes_file:
            yield from self._files.get_completions(Document(argument), complete_event)


def _may_be_shown(path: str) -> bool:
    return os.path.isdir(path) or path.lower().endswith(IMAGES)
