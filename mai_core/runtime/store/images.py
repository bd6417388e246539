"""Images of messages, each content once however often it is shown."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from mai_core.policy.messages import Image

__all__ = ["add", "read", "sweep"]

log = logging.getLogger("mai.store")


def add(connection: sqlite3.Connection, number: int, images: Sequence[Image]) -> None:
    """Write the images of the message with that number."""
    for position, image in enumerate(images):
        sha256 = hashlib.sha256(image.data).hexdigest()
        connection.execute("INSERT OR IGNORE INTO images (sha256, data) VALUES (?, ?)", (sha256, image.data))
        connection.execute(
            "INSERT INTO message_images (message, position, name, image) VALUES (?, ?, ?, ?)",
            (number, position, image.name, sha256),
        )


def read(connection: sqlite3.Connection, conversation: str) -> dict[int, tuple[Image, ...]]:
    """The images of a conversation by the ids of its messages."""
    found: defaultdict[int, tuple[Image, ...]] = defaultdict(tuple)
    rows = connection.execute(
        "SELECT messages.id, message_images.name, data FROM message_images "
        "JOIN messages ON messages.number = message_images.message JOIN images ON images.sha256 = message_images.image "
        "WHERE messages.conversation = ? ORDER BY messages.number, position",
        (conversation,),
    )
    for id, name, data in rows:
        try:
            found[id] += (Image(name=name, data=data),)
        except ValueError as error:  # another version took what this one does not
            log.warning("an image is left out", extra={"conversation": conversation, "id": id, "why": str(error)})
    return found


def sweep(connection: sqlite3.Connection) -> None:
    """Delete the images that no message shows any more."""
    connection.execute("DELETE FROM images WHERE sha256 NOT IN (SELECT image FROM message_images)")
