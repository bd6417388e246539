"""Shows one turn as it happens: what is waited for, the reply, and what a person should know about it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from mai_core.cli.output import err, is_fancy, note, out
from mai_core.cli.waiting import Waiting
from mai_core.errors import ContextExceeded, MaiError, ModelStruggles, OutOfMemory
from mai_core.policy.messages import ReasoningDelta, StopReason, TextDelta
from mai_core.policy.placements import meant
from mai_core.policy.selection import Move
from mai_core.policy.struggle import Struggle
from mai_core.runtime.turn import FellBack, Fetching, Loading, ModelChosen, Reply, Retracted, TurnEnd, TurnEvent

if TYPE_CHECKING:
    from mai_core.cli.markdown import LiveMarkdown
    from mai_core.policy.selection import Decision

__all__ = ["TurnView", "show_turn"]

# Fast enough to look like typing, slow enough to leave the processor to the model.
FRAME_SECONDS = 0.04


class _Writer(Protocol):
    def feed(self, text: str) -> None: ...
    def retract(self, characters: int) -> None: ...
    def wait(self, text: str) -> None: ...
    def close(self) -> None: ...


class _Plain:
    """The reply as it is, piece by piece; ends with a line break."""

    def __init__(self) -> None:
        self._last = "\n"

    def feed(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        self._last = text[-1:] or self._last

    def retract(self, characters: int) -> None:
        """What is written is written; only what is kept of the reply is without it."""

    def wait(self, text: str) -> None:
        """Nothing but the reply belongs here."""

    def close(self) -> None:
        if self._last != "\n":
            sys.stdout.write("\n")
            sys.stdout.flush()


class _Frames:
    """Live markdown, drawn at most once a frame."""

    def __init__(self, markdown: LiveMarkdown) -> None:
        self._markdown = markdown
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, text: str) -> None:
        self._markdown.feed(text)
        self._draw_soon()

    def retract(self, characters: int) -> None:
        self._markdown.retract(characters)
        self._draw_soon()

    def wait(self, text: str) -> None:
        self._markdown.waiting = text
        self._draw_soon()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._markdown.close()

    def _draw_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FRAME_SECONDS, self._draw)

    def _draw(self) -> None:
        self._timer = None
        self._markdown.draw()


class TurnView:
    """Where the events of one turn go. Leave it before printing anything else.

    Standard output gets the reply and nothing else; all remarks go to standard error. Nothing interrupts a reply that
    has begun: what is to be said of it comes after it, and what it waits for is shown below it, where that can be done
    without a trace. ``told`` remembers which remarks about models were made in this conversation, so that each is made
    once.
    """

    def __init__(self, *, markdown: bool = True, silent: bool = False, told: set[str] | None = None) -> None:
        self._waiting = Waiting()
        self._silent = silent
        self._told = set() if told is None else told
        self._writer: _Writer = self._choose_writer(markdown)
        self._held: list[tuple[str, str]] = []
        self._due: list[tuple[str, str]] = []
        self._failed: dict[str, str] = {}
        self._successor = ""
        self._announced = False
        self._thought = ""
        self._decision: Decision | None = None
        self.wrote = False

    def __enter__(self) -> Self:
        self._waiting.spin("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.stop()
        if not self._silent:
            self._writer.close()
        if (self._held or self._due) and self.wrote and _both_shown():
            err().print()
        self._tell(self._held)
        self._tell(self._due)

    def show(self, event: TurnEvent) -> None:
        """Show one event."""
        match event:
            case TextDelta(text):
                self._write(text)
            case ReasoningDelta(text):
                self._thought = (self._thought + text)[-200:]
                self._wait("thinking  " + " ".join(self._thought.split())[-48:])
            case Retracted(characters):
                self._writer.retract(characters)
            case Fetching(key, progress):
                self._waiting.fetch(key, progress)
            case Loading(key, share):
                self._wait(f"loading {key}", share)
            case ModelChosen(decision):
                self._announce(decision)
                self._wait("")
            case FellBack(error=ModelStruggles(struggle=Struggle.DOUBTED), next=str(following)):
                self._tell_if_remote(following)
                self._wait("asking again")  # nobody has read anything: there is nothing to explain
            case FellBack(key, error, following) if following is not None:
                self._hand_over(key, error, following)
            case FellBack():
                self._failed.clear()  # the error that ends the turn says it all
            case TurnEnd(reply):
                self._conclude(reply)

    def _choose_writer(self, markdown: bool) -> _Writer:
        if not (markdown and is_fancy(sys.stdout)):
            return _Plain()
        from mai_core.cli.markdown import LiveMarkdown, rewraps_lines

        return _Frames(LiveMarkdown(out(), rewraps=rewraps_lines(os.environ)))

    def _write(self, text: str) -> None:
        if not self.wrote:
            text = text.lstrip()
        if self._silent or not text:
            return
        self._waiting.stop()
        self._went_on()
        if self._announced and not self.wrote and _both_shown():
            err().print()
        self.wrote = True
        if self._due and isinstance(self._writer, _Plain) and "\n" in text:
            line, end, text = text.partition("\n")
            self._writer.feed(line + end)
            self._tell(self._due)
        self._writer.feed(text)

    def _wait(self, text: str, share: float = 0.0) -> None:
        """Show what is waited for: below a reply that has begun, else in a line of its own."""
        if self.wrote:
            self._writer.wait(f"{text}  {share:.0%}" if 0 < share < 1 else text)
        elif 0 < share < 1:
            self._waiting.share(text, share)
        else:
            self._waiting.spin(text)

    def _remark(self, text: str, *, style: str = "dim", soon: bool = False) -> None:
        """Say it now, or after a reply that has begun; ``soon`` at the end of its line, where it is written plainly."""
        (self._due if soon else self._held).append((text, style))
        if not self.wrote:
            self._waiting.stop()
            self._announced = True
            self._tell(self._held)
            self._tell(self._due)

    @staticmethod
    def _tell(remarks: list[tuple[str, str]]) -> None:
        for text, style in remarks:
            note(text, style=style)
        remarks.clear()

    def _hand_over(self, key: str, error: MaiError, following: str) -> None:
        """A model failed and the next goes on: told at once while there is nothing to read yet, else afterwards.

        Afterwards those that came to nothing in between count only as failures: the person reads who did go on.
        """
        what = error.message if key in error.message else f"{key}: {error.message}"
        now = _again(error) if following == key else f"{following} takes over"
        if not self.wrote:
            self._remark(f"{what}; {now}")
        self._failed.setdefault(key, what)
        self._successor = following
        self._tell_if_remote(following)
        self._wait(now if self.wrote else "")

    def _went_on(self) -> None:
        """The successor of models that failed in mid-reply writes."""
        if self._failed and self.wrote:
            again = self._successor in self._failed
            then = "it was started again" if again else f"{self._successor} took over"
            self._remark("; ".join((*self._failed.values(), then)))
        self._failed.clear()

    def _announce(self, decision: Decision) -> None:
        self._decision = decision
        chosen = decision.candidate(decision.choice)
        if chosen is None:
            return
        if decision.pinned is not None and decision.move is not Move.PIN:
            self._tell_once(f"{decision.pinned} cannot answer, {chosen.key} does: {_obstacle(decision)}")
        self._tell_if_remote(chosen.key)

    def _tell_if_remote(self, key: str | None) -> None:
        """Nothing leaves the machine without a word."""
        candidate = self._decision.candidate(key) if self._decision is not None else None
        if candidate is not None and candidate.is_remote:
            host = "another machine" if candidate.host == "local" else candidate.host
            self._tell_once(f"{candidate.key} answers from {host}: this conversation leaves your machine.")

    def _tell_once(self, remark: str) -> None:
        if remark not in self._told:
            self._told.add(remark)
            self._remark(remark, style="yellow", soon=True)

    def _conclude(self, reply: Reply) -> None:
        if reply.message.stop in _EARLY_ENDS:
            self._remark(_EARLY_ENDS[reply.message.stop])
        if reply.receipt.tokens_saved > reply.receipt.tokens:
            # Told once: from then on it is true of every turn of a long conversation.
            self._tell_once("The model saw less than half of all this; mai why tells what was left out.")


_EARLY_ENDS = {
    StopReason.LENGTH: "the reply stopped at its limit of tokens",
    StopReason.CONTEXT: "the reply stopped at the end of its context",
    StopReason.REPEATED: "the reply went round in circles and was stopped; the loop is not kept",
}


def _both_shown() -> bool:
    """Whether a person reads the reply and the remarks in one place."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def _obstacle(decision: Decision) -> str:
    """What keeps the pinned model from answering, and what would help; of several placements, each."""
    lost = meant(decision.pinned or "", decision.rejections)
    if len(lost) == 1:
        return " → ".join(part for part in (lost[0].message, lost[0].remedy) if part)
    return "; ".join(r.message if r.message.startswith(f"{r.backend}:") else f"{r.backend}: {r.message}" for r in lost)


async def show_turn(events: AsyncGenerator[TurnEvent, None], view: TurnView) -> Reply:
    """Show a whole turn and return its reply. Cancelling stops the engine before it returns."""
    reply: Reply | None = None
    async with aclosing(events) as stream:
        with view:
            async for event in stream:
                view.show(event)
                if isinstance(event, TurnEnd):
                    reply = event.reply
    assert reply is not None, "a turn ends with TurnEnd"
    return reply


def _again(error: MaiError) -> str:
    """How the model that failed is tried once more."""
    if isinstance(error, OutOfMemory):
        return "a smaller window is tried"
    return "less is sent" if isinstance(error, ContextExceeded) else "it is started again"
