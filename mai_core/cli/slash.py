"""What a line that begins with a slash does inside a conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from mai_core.cli.output import ink, note, out, print_table
from mai_core.cli.tables import table
from mai_core.errors import MaiError
from mai_core.policy.messages import Role

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mai_core.policy.messages import Image
    from mai_core.runtime.mai import AsyncMai
    from mai_core.runtime.turn import TurnEvent

__all__ = ["COMMANDS", "Leave", "Slash", "SlashCommand"]


class Leave(Exception):
    """The person wants to go."""


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A command inside a conversation, its arguments and what it does."""

    usage: str
    help: str
    takes_model: bool = False
    takes_file: bool = False

    @property
    def name(self) -> str:
        """The first word."""
        return self.usage.partition(" ")[0]


COMMANDS = {
    command.name: command
    for command in (
        SlashCommand(
            "model [KEY]", "every model and how it fits now; with a key the same as /switch", takes_model=True
        ),
        SlashCommand("switch KEY", "let this model answer from now on", takes_model=True),
        SlashCommand("pin [KEY]", "keep the model that answered last, or this one", takes_model=True),
        SlashCommand("auto", "let Mai choose again"),
        SlashCommand(
            "image [FILE]", "show an image with your next message; without a file, none after all", takes_file=True
        ),
        SlashCommand("good", "say that the last reply was good: its model is chosen more for such tasks"),
        SlashCommand("bad", "say that it was not"),
        SlashCommand("retry", "have the last reply written anew; that counts a little against its model"),
        SlashCommand("edit [TEXT]", "put your last message differently; without a text it comes back to be changed"),
        SlashCommand("why [PROMPT]", "explain the last choice, or try a prompt without running it"),
        SlashCommand("status", "what is loaded and how much memory is left"),
        SlashCommand("history [TEXT]", "the latest conversations, or those that hold this text"),
        SlashCommand("new", "begin another conversation"),
        SlashCommand("resume [ID]", "go on with the latest conversation, or this one"),
        SlashCommand("export [FILE]", "write this conversation as Markdown, or as JSON if the name ends in .json"),
        SlashCommand("help", "this list"),
        SlashCommand("quit", "leave; so does Ctrl-D"),
    )
}


class Slash:
    """Carries out commands on the conversation in use.

    images  to be shown with the next message
    turn    what a command began and is to be shown as a reply
    draft   what the person is to go on writing
    """

    def __init__(self, mai: AsyncMai, images: Sequence[Image] = ()) -> None:
        self._mai = mai
        self.images = tuple(images)
        self.turn: AsyncGenerator[TurnEvent, None] | None = None
        self.draft = ""

    async def obey(self, line: str) -> None:
        """Carry out one line. Raises ``Leave``, or ``MaiError`` with the nearest command for one nobody knows."""
        name, _, argument = line.removeprefix("/").strip().partition(" ")
        if name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            begin = [known for known in COMMANDS if name and known.startswith(name)]
            guess = (begin or near or ["help"])[0]
            raise MaiError(f"there is no command /{name}", remedy=f"try /{guess}, or //{name} to say it literally")
        action: Callable[[str], Awaitable[None]] = getattr(self, f"_{name}")
        await action(argument.strip())

    async def _model(self, key: str) -> None:
        from mai_core.cli.models import models_view

        if key:
            await self._switch(key)
            return
        rows = [row for row in await self._mai.models() if row.best.profile.installed]
        if rows:
            _show(models_view(rows))
        else:
            note("No model is on this disk yet; the first question fetches a small one.")

    async def _switch(self, key: str) -> None:
        if not key:
            raise MaiError("/switch needs a model", remedy="/model lists them")
        if key == "auto":
            await self._auto("")
            return
        from mai_core.cli.switch import obstacle

        pinned = await self._mai.switch(key)
        note(f"{pinned} answers from now on; /auto lets Mai choose again")
        if pinned and (why_not := await obstacle(self._mai, pinned)):
            note(why_not)
        out().print()

    async def _pin(self, key: str) -> None:
        current = key or (await self._mai.get_status()).current
        if not current:
            raise MaiError("no model has answered yet", remedy="name one: /pin KEY")
        await self._switch(current)

    async def _auto(self, _: str) -> None:
        await self._mai.switch(None)
        note("Mai chooses again")
        out().print()

    async def _image(self, file: str) -> None:
        from mai_core.cli.asking import image_line, typed_path
        from mai_core.runtime.sight import read_image

        if file:
            image = read_image(typed_path(file))
            self.images += (image,)
            note(f"{image_line(image)} goes with your next message")
        else:
            names = ", ".join(image.name for image in self.images)
            note(f"{names} taken back" if names else "no image is attached: /image FILE attaches one")
            self.images = ()
        out().print()

    async def _good(self, words: str) -> None:
        await self._rate(words, good=True)

    async def _bad(self, words: str) -> None:
        await self._rate(words, good=False)

    async def _rate(self, words: str, *, good: bool) -> None:
        from mai_core.cli.rate import rated

        note(rated(await self._mai.rate(good), good=good))
        if words:
            note("What you said of it is not kept.")
        out().print()

    async def _retry(self, _: str) -> None:
        messages = (await self._mai.get_conversation_history()).messages
        if messages and messages[-1].role is Role.ASSISTANT:
            note(f"written anew; the reply of {messages[-1].model} goes when another is there, and counts against it")
        self.turn = self._mai.retry()

    async def _edit(self, text: str) -> None:
        if text:
            self.turn = self._mai.retry(text)
            return
        messages = (await self._mai.get_conversation_history()).messages
        asked = next((m.content for m in reversed(messages) if m.role is Role.USER), None)
        if asked is None:
            raise MaiError("nothing was asked yet", remedy="say something")
        self.draft = f"/edit {asked}"

    async def _why(self, prompt: str) -> None:
        from mai_core.cli.why import why_view

        _show(why_view(await self._mai.explain(prompt or None)))

    async def _status(self, _: str) -> None:
        from mai_core.cli.status import status_view

        _show(status_view(await self._mai.get_status()))

    async def _history(self, text: str) -> None:
        from mai_core.cli.history import history_view

        found = self._mai.store.conversations(limit=20, search=text)
        if not found:
            note(f"no conversation holds “{text}”" if text else "no conversations yet")
        else:
            _show(history_view(found, searched=bool(text)))

    async def _new(self, _: str) -> None:
        await self._mai.new_conversation()
        note("a new conversation")
        out().print()

    async def _resume(self, id: str) -> None:
        from mai_core.cli.history import show_conversation

        conversation = await self._mai.resume(id or None)
        out().print(ink((conversation.title or "Untitled", "bold"), (f"  {conversation.id}", "dim")), soft_wrap=True)
        out().print()
        show_conversation(conversation, last=4)

    async def _export(self, file: str) -> None:
        from mai_core.cli.history import ExportFormat, export_text, write_export

        conversation = await self._mai.get_conversation_history()
        path = Path(file or f"mai-{conversation.id}.md")
        form = ExportFormat.JSON if path.suffix == ".json" else ExportFormat.MARKDOWN
        ratings = self._mai.store.ratings(conversation.id)
        write_export(export_text(conversation, form, ratings), path)
        note(f"{len(conversation.messages)} messages written to {path}")
        out().print()

    async def _help(self, _: str) -> None:
        made = table("command", "help", header=False, wrap=("help",))
        for command in COMMANDS.values():
            made.add_row(ink((f"/{command.usage}", "cyan")), command.help)
        made.add_row(ink(("//text", "cyan")), "say something that begins with a slash")
        made.add_row(ink(("Alt-Enter", "cyan")), "a new line")
        made.add_row(ink(("Ctrl-C", "cyan")), "stop the reply")
        _show(made)

    async def _quit(self, _: str) -> None:
        raise Leave


def _show(made: RenderableType) -> None:
    print_table(made)
    out().print()
