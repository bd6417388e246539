"""What a person says and shows, as one message."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from mai_core.policy.messages import Image, Message, Role

__all__ = ["asking", "image_line", "typed_path"]


def asking(text: str, images: Sequence[Image] = ()) -> Message:
    """The message of a person."""
    return Message(role=Role.USER, content=text, images=tuple(images))


def image_line(image: Image) -> str:
    """An image in a transcript."""
    return f"[image: {image.name}, {image.width} × {image.height}]"


def typed_path(text: str) -> Path:
    """The file a person typed, or dropped on a terminal that quotes it as for a shell."""
    path = Path(text).expanduser()
    if path.exists():
        return path
    try:
        words = shlex.split(text)
    except ValueError:
        return path
    return Path(words[0]).expanduser() if len(words) == 1 else path
