"""Which images of a conversation a model is shown, and what stands for the others.

A context transfer deals with text alone: before it, every image becomes one line that names it, and the images that
are to be shown take their tokens off the window. After it, those images take the places of their lines. A line whose
message was left out, or shortened past it, takes its image with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from mai_core.policy.context import ContextBudget, Receipt, TransferPlan
from mai_core.policy.messages import Image, Message, Role

__all__ = ["ImagesInWords", "Shown", "image_tokens", "in_words"]

PIXELS = 28
"""Across and down, of what becomes one token: Qwen2-VL merges two by two patches of 14 (arXiv 2409.12191, 2.1)."""
FEWEST, MOST = 576, 4096
"""LLaVA-1.5 makes 576 tokens of any image (arXiv 2310.03744); llama.cpp shrinks images for Qwen-VL to 4,096 at most,
Pixtral sees 1,024 by 1,024 pixels in patches of 16, which are as many (arXiv 2410.07073)."""
RECENT = 0.25
"""Share of the usable window that the latest images may always take, however long the conversation is."""
PRESENT = 0.5
"""Share of the usable window that is set aside for the images of the present turn at most. They are shown in any case:
what they really take only the engine knows, and gemma 3, say, never makes more than 256 tokens of one."""
NAMES_TOLD = 3


def image_tokens(image: Image) -> int:
    """Tokens of an image, on the large side: engines that keep to their models' own ways take as many or fewer."""
    return min(MOST, max(FEWEST, ceil(image.width / PIXELS) * ceil(image.height / PIXELS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """An image, the position of its message, and the line that stands for it, which is like no other."""

    position: int
    image: Image
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The images a model is shown. ``tokens`` is what is set aside for them, ``left`` tells of the others and why."""

    images: tuple[_Named, ...] = ()
    tokens: int = 0
    left: str = ""

    def put_back(self, plan: TransferPlan) -> TransferPlan:
        """The plan of a transfer with the images in the places of their lines, and a receipt that tells of them."""
        if not self.images and not self.left:
            return plan
        messages = self._with_images(plan.messages)
        wanted = plan.wanted and replace(plan.wanted, messages=self._with_images(plan.wanted.messages))
        return replace(
            plan, messages=messages, tokens=plan.tokens + self.tokens, receipt=self._told(plan.receipt), wanted=wanted
        )

    def _with_images(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        left, made = list(self.images), list(messages)
        for place in reversed(range(len(made))):
            message = made[place]
            if message.role is not Role.USER:
                continue
            here = [named for named in left if named.line in message.content]
            left = [named for named in left if named not in here]
            content = message.content
            for named in here:
                content = content.replace(named.line if named.line + "\n" not in content else named.line + "\n", "", 1)
            if here:
                made[place] = replace(message, content=content, images=tuple(named.image for named in here))
        return tuple(made)

    def _told(self, receipt: Receipt) -> Receipt:
        note = "; ".join(filter(None, (receipt.note, self.left)))
        return replace(receipt, tokens=receipt.tokens + self.tokens, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesInWords:
    """A conversation in which every image is a line, and what the lines stand for, in order."""

    messages: tuple[Message, ...]
    named: tuple[_Named, ...] = ()

    def shown_to(self, key: str, tokens: Sequence[int], budget: ContextBudget, *, sees: bool) -> Shown:
        """The images the model ``key`` is shown beside messages of so many ``tokens``.

        All of them while the conversation stays below the trigger. From there on old images become lines before any
        text is left out, the oldest first; those of the present turn, and the latest that fit ``RECENT``, never do.
        """
        if not self.named:
            return Shown()
        if not sees:
            return Shown(left=f"{_names(self.named)} in words: {key} cannot see")
        begins = max((i for i, m in enumerate(self.messages) if m.role is Role.USER), default=0)
        present = [named for named in self.named if named.position >= begins]
        old = [named for named in self.named if named.position < begins]
        usable = budget.usable
        text = sum(tokens) + budget.per_message * len(self.messages)
        now = min(_size(present), int(usable * PRESENT))
        if text + now + _size(old) <= usable * budget.trigger:
            return Shown(images=self.named, tokens=now + _size(old))
        room = max(usable * budget.target - text, usable * RECENT) - now
        kept: list[_Named] = []
        for named in reversed(old):
            if _size(kept) + image_tokens(named.image) > room:
                break
            kept.insert(0, named)
        gone = old[: len(old) - len(kept)]
        left = f"{_names(gone)} in words for want of room" if gone else ""
        return Shown(images=(*kept, *present), tokens=now + _size(kept), left=left)


def in_words(messages: Sequence[Message]) -> ImagesInWords:
    """Put a line in the place of every image, before the text of its message.

    The lines stay the same when messages are added, as prompts have to.
    """
    if not any(message.images for message in messages):
        return ImagesInWords(messages=tuple(messages))
    named: list[_Named] = []
    lines: set[str] = set()
    made = []
    for position, message in enumerate(messages):
        for image in message.images:
            line = _line(image.name, lines)
            lines.add(line)
            named.append(_Named(position=position, image=image, line=line))
        mine = [one.line for one in named if one.position == position]
        content = "\n".join([*mine, message.content] if message.content else mine)
        made.append(replace(message, content=content, images=()) if mine else message)
    return ImagesInWords(messages=tuple(made), named=tuple(named))


def _line(name: str, taken: set[str]) -> str:
    plain = " ".join(name.split()).replace("[", "(").replace("]", ")") or "unnamed"
    line, number = f"[image: {plain}]", 2
    while line in taken:
        line, number = f"[image: {plain} ({number})]", number + 1
    return line


def _size(named: Iterable[_Named]) -> int:
    return sum(image_tokens(one.image) for one in named)


def _names(named: Sequence[_Named]) -> str:
    names = [one.line.removeprefix("[image: ").removesuffix("]") for one in named]
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more images" if more > 0 else "")
