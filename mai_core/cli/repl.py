"""The conversation in a terminal: reads lines, shows replies, and never loses either."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from mai_core.cli.asking import asking, image_line
from mai_core.cli.complete import SlashCompleter
from mai_core.cli.output import error_line, ink, note, out
from mai_core.cli.slash import Leave, Slash
from mai_core.cli.turnview import TurnView, show_turn
from mai_core.errors import MaiError

if TYPE_CHECKING:
    from mai_core.cli.invocation import Invocation
    from mai_core.policy.messages import Image
    from mai_core.runtime.mai import AsyncMai
    from mai_core.runtime.turn import TurnEvent

__all__ = ["Repl", "converse"]

PAUSE_SECONDS = 0.4

STYLE = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "continuation": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.model": "noreverse ansicyan",
        "bottom-toolbar.pin": "noreverse ansiyellow",
        "completion-menu": "bg:default",
        "completion-menu.completion": "bg:default ansibrightblack",
        "completion-menu.completion.current": "noreverse bg:default bold ansicyan",
        "completion-menu.meta.completion": "bg:default ansibrightblack",
        "completion-menu.meta.completion.current": "noreverse bg:default ansibrightblack",
        "scrollbar.background": "bg:default",
        "scrollbar.button": "bg:ansibrightblack",
    }
)


async def converse(
    mai: AsyncMai, invocation: Invocation, images: Sequence[Image] = (), *, markdown: bool = True
) -> None:
    """Talk until the person leaves; ``images`` are shown with the first message."""
    await Repl(mai, invocation.paths.state / "input_history", images, markdown=markdown).run()


class Repl:
    """One conversation in one terminal. Ctrl-C stops what runs and clears what is typed, Ctrl-D leaves."""

    def __init__(self, mai: AsyncMai, history: Path, images: Sequence[Image] = (), *, markdown: bool) -> None:
        self._mai = mai
        self._markdown = markdown
        self._told: set[str] = set()
        self._model: str | None = None
        self._pinned: str | None = None
        self._meant: frozenset[str] = frozenset()
        self._waits = False
        self._answered: str | None = None
        self._running: asyncio.Task[Any] | None = None
        self._hinted = False
        self._pause: asyncio.TimerHandle | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._keys: tuple[str, ...] = ()
        self._slash = Slash(mai, images)
        self._session: PromptSession[str] = PromptSession(
            history=_private_history(history),
            completer=SlashCompleter(lambda: self._keys),
            complete_while_typing=True,
            key_bindings=_bindings(),
            style=STYLE,
            bottom_toolbar=self._toolbar,
            prompt_continuation=lambda width, line, soft: FormattedText([("class:continuation", "· ".rjust(width))]),
            enable_history_search=False,
            reserve_space_for_menu=6,
        )
        self._session.default_buffer.on_text_changed += self._typed

    async def run(self) -> None:
        """Read, answer, repeat."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        await self._greet()
        background = {asyncio.create_task(self._look_around())}
        await self._mai.prepare()
        try:
            while (text := await self._read()) is not None:
                if not text.strip():
                    continue
                with _quiet_keyboard():
                    try:
                        await self._stoppable(self._obey(text))
                    except Leave:
                        break
        finally:
            self._hold()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def _read(self) -> str | None:
        """The next thing the person says; None when there is nothing more."""
        while True:
            try:
                draft, self._slash.draft = self._slash.draft, ""
                prompt = FormattedText([("class:prompt", "› ")])
                return await self._session.prompt_async(prompt, handle_sigint=False, default=draft)
            except EOFError:
                return None
            except KeyboardInterrupt:
                # The first Ctrl-C clears the line, as in a shell; whoever tries again wants to leave.
                if self._hinted:
                    note("Ctrl-D leaves.")
                self._hinted = not self._hinted

    def _typed(self, buffer: Buffer) -> None:
        """Let the model for what is being written get ready whenever the typing pauses."""
        self._hold()
        if buffer.text.strip() and not buffer.text.startswith("/"):
            self._pause = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._prepare, buffer.text)

    def _prepare(self, text: str) -> None:
        self._preparing = asyncio.ensure_future(self._mai.prepare(text, images=self._slash.images))

    def _hold(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    async def _obey(self, text: str) -> None:
        if text.startswith("/") and not text.startswith("//"):
            await self._slash.obey(text)
            turn, self._slash.turn = self._slash.turn, None
            if turn is not None:
                await self._show(turn)
        else:
            images, self._slash.images = self._slash.images, ()
            for image in images:
                note(image_line(image))
            said = text.removeprefix("/") if text.startswith("//") else text
            await self._show(self._mai.stream(asking(said, images)))
        if text.startswith("/"):
            await self._look_around()

    async def _show(self, turn: AsyncGenerator[TurnEvent, None]) -> None:
        out().print()
        reply = await show_turn(turn, TurnView(markdown=self._markdown, told=self._told))
        self._model = self._answered = reply.message.model or self._model
        self._waits = self._answered not in self._meant
        out().print()

    async def _stoppable(self, work: Awaitable[None]) -> None:
        """Run until done or Ctrl-C; what goes wrong is told in one line and the conversation goes on."""
        self._running = asyncio.ensure_future(work)
        try:
            await self._running
            self._hinted = False
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                self._running.cancel()
                with suppress(asyncio.CancelledError, MaiError):
                    await self._running
                raise
            note("stopped")
            out().print()
        except MaiError as error:
            print(error_line(error), file=sys.stderr)
            out().print()
        finally:
            self._running = None

    def _interrupt(self) -> None:
        # Once: a second Ctrl-C must not cut short the storing of what was said.
        if self._running is not None and not self._running.cancelling():
            self._running.cancel()

    async def _greet(self) -> None:
        console = out()
        if self._mai.conversation is not None:
            from mai_core.cli.history import show_conversation

            conversation = await self._mai.get_conversation_history()
            if conversation.messages:
                console.print(ink((conversation.title, "bold"), (f"  {conversation.id}", "dim")), soft_wrap=True)
                console.print()
                show_conversation(conversation, last=2)
                return
        console.print(ink(("Mai", "bold cyan"), ("  /help for commands, Ctrl-D leaves", "dim")))
        console.print()

    async def _look_around(self) -> None:
        """What completion and the toolbar show; without it the conversation works as well."""
        with suppress(MaiError):
            rows = await self._mai.models()
            self._keys = tuple(p.profile.key for row in rows for p in row.placements if p.profile.installed)
            meant = [p for row in rows for p in row.placements if p.pinned]
            pinned = (await self._mai.get_status()).pinned
            if pinned != self._pinned:
                self._answered = None
            self._pinned, self._meant = pinned, frozenset(p.profile.key for p in meant)
            self._waits = not any(p.candidate for p in meant)
            self._model = self._model or next((row.model for row in rows if row.loaded), None)
            self._session.app.invalidate()

    def _toolbar(self) -> FormattedText:
        """Who answers, and whom the person wants to; the hint only where there is room for it."""
        shown: list[tuple[str, str]] = [("class:bottom-toolbar.model", self._model)] if self._model else []
        hint = "/why" if self._model else "/help"
        if self._pinned is not None:
            hint = "/auto releases it"
            shown = [("class:bottom-toolbar.pin", f"{self._pinned} (pinned)")]
            if self._waits and self._answered:
                now = ("class:bottom-toolbar.model", self._answered)
                shown = [now, ("", " for now; "), ("class:bottom-toolbar.pin", f"{self._pinned} pinned")]
            elif self._waits:
                shown = [("class:bottom-toolbar.pin", f"{self._pinned} (pinned, cannot run now)")]
        if self._slash.images:
            hint = f"{', '.join(image.name for image in self._slash.images)} attached"
        told = f"{'  ' if shown else ''}{hint}"
        room = self._session.app.output.get_size().columns - sum(get_cwidth(text) for _, text in shown)
        return FormattedText([*shown, ("", told)] if len(told) <= room else shown)


def _private_history(path: Path) -> History:
    """Input history that only this person can read; kept in memory where it cannot be stored."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        path.chmod(0o600)
    except OSError as error:
        note(f"what you type is not remembered: {path} cannot be written ({error.strerror})")
        return InMemoryHistory()
    return FileHistory(path)


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


@contextmanager
def _quiet_keyboard() -> Iterator[None]:
    """Keep what is typed during a reply out of the reply: it waits for the next prompt. Ctrl-C still arrives."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (termios.error, ValueError):
        yield
        return
    quiet = list(before)
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    quiet[3] |= termios.NOFLSH  # Ctrl-C must not throw away what was typed, nor half an escape sequence on its way out
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
