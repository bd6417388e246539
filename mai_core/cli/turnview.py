"""Shows one turn as it happens: what is waited for, the reply, and what a person should know about it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from mai_core.cli.output import is_fancy, note, out
from mai_core.cli.waiting import Waiting
from mai_core.policy.messages import ReasoningDelta, StopReason, TextDelta
from mai_core.policy.selection import Move
from mai_core.runtime.turn import FellBack, Fetching, Loading, ModelChosen, Reply, TurnEnd, TurnEvent

if TYPE_CHECKING:
    from mai_core.cli.markdown import LiveMarkdown
    from mai_core.policy.selection import Decision

__all__ = ["TurnView", "show_turn"]

# Fast enough to look like typing, slow enough to leave the processor to the model.
FRAME_SECONDS = 0.04


class _Writer(Protocol):
    def feed(self, text: str) -> None: ...
    def close(self) -> None: ...


class _Plain:
    """The reply as it is, piece by piece; ends with a line break."""

    def __init__(self) -> None:
        self._last = "\n"

    def feed(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        self._last = text[-1:] or self._last

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
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FRAME_SECONDS, self._draw)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._markdown.close()

    def _draw(self) -> None:
        self._timer = None
        self._markdown.draw()


class TurnView:
    """Where the events of one turn go. Leave it before printing anything else.

    Standard output gets the reply and nothing else; all remarks go to standard error. ``told`` remembers which remarks
    about models were made in this conversation, so that each is made once.
    """

    def __init__(self, *, markdown: bool = True, silent: bool = False, told: set[str] | None = None) -> None:
        self._waiting = Waiting()
        self._silent = silent
        self._told = set() if told is None else told
        self._writer: _Writer = self._choose_writer(markdown)
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

    def show(self, event: TurnEvent) -> None:
        """Show one event."""
        match event:
            case TextDelta(text):
                self._write(text)
            case ReasoningDelta(text):
                self._thought = (self._thought + text)[-200:]
                self._waiting.spin("thinking  " + " ".join(self._thought.split())[-48:])
            case Fetching(key, progress):
                self._waiting.fetch(key, progress)
            case Loading(key, share):
                self._waiting.share(f"loading {key}", share) if 0 < share < 1 else self._waiting.spin(f"loading {key}")
            case ModelChosen(decision):
                self._announce(decision)
                self._waiting.spin("")
            case FellBack(key, error, following):
                self._waiting.stop()
                what = error.message if key in error.message else f"{key}: {error.message}"
                self._remark(f"{what}; {_successor(key, following)}")
                self._tell_if_remote(following)
                self._waiting.spin("")
            case TurnEnd(reply):
                self._conclude(reply)

    def _choose_writer(self, markdown: bool) -> _Writer:
        if not (markdown and is_fancy(sys.stdout)):
            return _Plain()
        from mai_core.cli.markdown import LiveMarkdown

        return _Frames(LiveMarkdown(out()))

    def _write(self, text: str) -> None:
        if not self.wrote:
            text = text.lstrip()
        if self._silent or not text:
            return
        self._waiting.stop()
        self.wrote = True
        self._writer.feed(text)

    def _remark(self, text: str) -> None:
        if self.wrote and not self._silent and sys.stdout.isatty():
            # What is shown stays; the remark stands between it and what follows. In a pipe nothing may interrupt it.
            self._writer.close()
            self._writer = self._choose_writer(not isinstance(self._writer, _Plain))
        note(text)

    def _announce(self, decision: Decision) -> None:
        self._decision = decision
        chosen = decision.candidate(decision.choice)
        if chosen is None:
            return
        if decision.pinned is not None and decision.move is not Move.PIN:
            ends = f"/{decision.pinned}"
            speaking_of_it = [r for r in decision.rejections if ends.endswith(f"/{r.key}")]
            rejection = max(speaking_of_it, key=lambda r: len(r.key), default=None)
            why = rejection.message if rejection else "no engine that answers has it"
            self._tell_once(f"{decision.pinned} cannot answer, {chosen.key} does: {why}")
        self._tell_if_remote(chosen.key)

    def _tell_if_remote(self, key: str | None) -> None:
        """Nothing leaves the machine without a word."""
        candidate = self._decision.candidate(key) if self._decision is not None else None
        if candidate is not None and candidate.is_remote:
            self._tell_once(f"{candidate.key} answers from {candidate.host}: this conversation leaves your machine.")

    def _tell_once(self, remark: str) -> None:
        if remark not in self._told:
            self._told.add(remark)
            self._waiting.stop()
            note(remark, style="yellow")

    def _conclude(self, reply: Reply) -> None:
        self._waiting.stop()
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


def _successor(failed: str, following: str | None) -> str:
    if following is None:
        return "no model is left to take over"
    return "it is started again" if following == failed else f"{following} takes over"


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
