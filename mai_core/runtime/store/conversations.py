"""What people and models said."""

from __future__ import annotations

import difflib
import json
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mai_core.errors import StoreError
from mai_core.policy.context import ContextState
from mai_core.policy.messages import Conversation, Image, Message, Role, StopReason, ToolCall
from mai_core.runtime.store import images as pictures
from mai_core.runtime.store import search as index
from mai_core.runtime.store.codec import decode, encode
from mai_core.runtime.store.database import Database
from mai_core.runtime.store.outcomes import unlink
from mai_core.runtime.store.text import excerpt, id_at, single_line, storable, typed_id

__all__ = ["ConversationSummary", "Conversations"]

log = logging.getLogger("mai.store")

MOST_NEAR = 4
COLUMNS = "id, role, pinned, model, stop, created, content, tools, earlier"
MessageRow = tuple[int, str, int, str, str | None, float, str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class _Tools:
    """What a message has to do with tools: the calls it makes, or the one it answers."""

    calls: tuple[ToolCall, ...] = ()
    answers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary:
    """A conversation without its messages.

    ``messages`` is their number and ``models`` who wrote the replies, in order of appearance. ``snippet`` is one
    line around what was searched for, or the beginning of the newest message.
    """

    id: str
    title: str
    messages: int
    created: float
    updated: float
    models: tuple[str, ...] = ()
    snippet: str = ""


class Conversations(Database):
    """Conversations, kept message by message."""

    def new_conversation(self, title: str = "") -> Conversation:
        """Begin a conversation. It is listed once it has a message."""
        with self._writing() as connection:
            made = self._now()
            return _insert(connection, Conversation(id="", title=single_line(title), created=made, updated=made), made)

    def append(self, conversation_id: str, message: Message) -> Message:
        """Add a message to the end; it is on disk when this returns.

        Returns it as stored: with its ``id``, the time, and characters no file can hold replaced. The first message
        of a person becomes the title of a conversation that has none.
        """
        with self._writing() as connection:
            return self._append(connection, conversation_id, message)

    def supersede(self, conversation_id: str, first: int, message: Message) -> Message:
        """Put a message in the place of all from the id ``first`` on: all of it happens, or nothing.

        Returns it as stored, like ``append``. How the replies that are gone turned out stays known of their models.
        """
        with self._writing() as connection:
            title = _title(connection, conversation_id)
            index.forget(connection, conversation_id, first)
            unlink(connection, conversation_id, first)
            which = "conversation = ? AND id >= ?", (conversation_id, first)
            gone = connection.execute(f"SELECT content FROM messages WHERE {which[0]}", which[1]).fetchall()
            if any(title == single_line(content) for (content,) in gone):
                connection.execute("UPDATE conversations SET title = '' WHERE id = ?", (conversation_id,))
            connection.execute(f"DELETE FROM messages WHERE {which[0]}", which[1])
            stored = self._append(connection, conversation_id, message)
            pictures.sweep(connection)
            _forget_state(connection, conversation_id, first)
        self._empty_journal()
        return stored

    def _append(self, connection: sqlite3.Connection, conversation_id: str, message: Message) -> Message:
        title = _title(connection, conversation_id)
        (last,) = connection.execute(
            "SELECT ifnull(max(id), 0) FROM messages WHERE conversation = ?", (conversation_id,)
        ).fetchone()
        stored = replace(message, id=last + 1, created=self._now())
        stored = _add(connection, conversation_id, stored)
        if not title and stored.role is Role.USER:
            title = single_line(stored.content or ", ".join(image.name for image in stored.images))
        connection.execute(
            "UPDATE conversations SET title = ?, updated = ? WHERE id = ?", (title, stored.created, conversation_id)
        )
        return stored

    def restore(self, conversation: Conversation) -> Conversation:
        """Store a whole conversation, such as an imported one, under its own id, or a new one when that is taken."""
        with self._writing() as connection:
            stored = _insert(connection, conversation, self._now())
            messages = tuple(_add(connection, stored.id, message) for message in conversation.messages)
            return replace(stored, messages=messages)

    def conversation(self, id_or_prefix: str) -> Conversation:
        """The conversation of that id, or the only one whose id begins so.

        Raises ``StoreError`` that names the nearest ones when there is none, or more than one.
        """
        with self._reading() as connection:
            return _read(connection, _resolve(connection, id_or_prefix))

    def latest(self) -> Conversation | None:
        """The conversation with the newest message."""
        with self._reading() as connection:
            row = connection.execute("SELECT conversation FROM messages ORDER BY number DESC LIMIT 1").fetchone()
            return _read(connection, row[0]) if row else None

    def conversations(self, limit: int = 50, search: str = "") -> list[ConversationSummary]:
        """The conversations that have messages, the most recently used first.

        ``search`` keeps those with a message that holds all its words, or their beginnings, in any order; failing
        that, those that hold it literally. The newest match comes first.
        """
        term = search.strip()
        if term:
            words = index.words(term)
            with self._writing() as connection:
                found = index.find(connection, term, limit)
                return [_summary(connection, id, number, [term, *words]) for id, number in found]
        with self._reading() as connection:
            newest = connection.execute(
                "SELECT id, newest FROM conversations WHERE newest > 0 ORDER BY newest DESC LIMIT ?", (limit,)
            ).fetchall()
            return [_summary(connection, id, number) for id, number in newest]

    def relevant(self, conversation_id: str, text: str, limit: int) -> list[tuple[int, float]]:
        """Ids of messages of a conversation that share words with the text, the best first, with BM25 scores.

        None are found for scripts that put no space between words; see ``search``.
        """
        with self._writing() as connection:
            return index.relevant(connection, conversation_id, text, limit)

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation with everything said and decided in it, beyond recovery from the files.

        How its replies turned out stays known of their models, and no longer of which conversation.
        """
        with self._writing() as connection:
            _title(connection, conversation_id)
            index.forget(connection, conversation_id)
            unlink(connection, conversation_id)
            connection.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,))
            pictures.sweep(connection)
        self._empty_journal()

    def set_pinned_message(self, conversation_id: str, message_id: int, pinned: bool) -> None:
        """Let a message reach every model, or no longer."""
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE messages SET pinned = ? WHERE conversation = ? AND id = ?",
                (pinned, conversation_id, message_id),
            ).rowcount
            if not changed:
                raise StoreError(f"conversation {conversation_id} has no message {message_id}")

    def context_state(self, conversation_id: str) -> ContextState | None:
        """What the last compression of this conversation left."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT context_state FROM conversations WHERE id = ?", (conversation_id,)
            ).fetchone()
        if row is None or row[0] is None:
            return None
        try:
            return decode(ContextState, row[0])
        except ValueError:
            # It can be made again from the messages, which are all there.
            log.warning("a context state of another version is dropped", extra={"conversation": conversation_id})
            return None

    def save_context_state(self, conversation_id: str, state: ContextState | None) -> None:
        """Keep what a compression left for the next turn; None forgets it."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE conversations SET context_state = ? WHERE id = ?",
                (encode(state) if state is not None else None, conversation_id),
            )

    def save_digest(self, conversation_id: str, digest: str, digested: int) -> None:
        """Keep what a model wrote of a conversation up to a message, for the next compression."""
        with self._writing() as connection:
            row = connection.execute(
                "SELECT context_state FROM conversations WHERE id = ?", (conversation_id,)
            ).fetchone()
            if row is None:
                return
            try:
                state = decode(ContextState, row[0]) if row[0] is not None else ContextState()
            except ValueError:
                state = ContextState()
            connection.execute(
                "UPDATE conversations SET context_state = ? WHERE id = ?",
                (encode(replace(state, digest=digest, digested=digested)), conversation_id),
            )

    def authors(self, conversation_id: str, message_id: int) -> tuple[str, ...]:
        """The models that wrote the reply to a message, in order; none when it has no reply yet."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT model, earlier FROM messages "
                "WHERE conversation = ? AND id > ? AND role = ? ORDER BY id LIMIT 1",
                (conversation_id, message_id, Role.ASSISTANT.value),
            ).fetchone()
        return (*json.loads(row[1] or "[]"), row[0]) if row else ()

    def last_model(self) -> str | None:
        """The model that wrote the newest reply of all conversations."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT model FROM messages WHERE role = ? AND model != '' ORDER BY number DESC LIMIT 1",
                (Role.ASSISTANT.value,),
            ).fetchone()
            return row[0] if row else None


def _insert(connection: sqlite3.Connection, conversation: Conversation, now: float) -> Conversation:
    """Write the row of a conversation, under a free id, without its messages."""
    chosen, attempt = conversation.id, 0
    while not chosen or connection.execute("SELECT 1 FROM conversations WHERE id = ?", (chosen,)).fetchone():
        chosen, attempt = id_at(now, attempt), attempt + 1
    stored = replace(conversation, id=chosen, title=storable(conversation.title), messages=())
    connection.execute(
        "INSERT INTO conversations (id, title, created, updated) VALUES (?, ?, ?, ?)",
        (stored.id, stored.title, stored.created, stored.updated),
    )
    return stored


def _add(connection: sqlite3.Connection, conversation_id: str, message: Message) -> Message:
    """Write a message as it is, but for text no file can hold."""
    stored = replace(
        message,
        content=storable(message.content),
        model=storable(message.model),
        earlier=tuple(map(storable, message.earlier)),
        images=tuple(replace(image, name=storable(image.name)) for image in message.images),
    )
    tools = _Tools(stored.tool_calls, stored.tool_call_id)
    number = connection.execute(
        f"INSERT INTO messages (conversation, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation_id,
            stored.id,
            stored.role.value,
            stored.pinned,
            stored.model,
            stored.stop.value if stored.stop else None,
            stored.created,
            stored.content,
            encode(tools) if tools != _Tools() else None,
            json.dumps(stored.earlier) if stored.earlier else None,
        ),
    ).lastrowid
    assert number is not None
    pictures.add(connection, number, stored.images)
    connection.execute("UPDATE conversations SET newest = ? WHERE id = ?", (number, conversation_id))
    return stored


def _forget_state(connection: sqlite3.Connection, conversation_id: str, first: int) -> None:
    """Drop what a compression left when it looked at messages from ``first`` on: they are others now."""
    row = connection.execute("SELECT context_state FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    if row is None or row[0] is None:
        return
    try:
        state = decode(ContextState, row[0])
        newest = max(state.covered, state.digested, *(id for id, _ in state.recalled), 0)
    except ValueError:
        newest = first
    if newest >= first:
        connection.execute("UPDATE conversations SET context_state = NULL WHERE id = ?", (conversation_id,))


def _title(connection: sqlite3.Connection, conversation_id: str) -> str:
    row = connection.execute("SELECT title FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    if row is None:
        raise _unknown(connection, conversation_id)
    return str(row[0])


def _resolve(connection: sqlite3.Connection, typed: str) -> str:
    beginning = typed_id(typed)
    found = connection.execute(
        "SELECT id FROM conversations WHERE id = ? OR (? != '' AND substr(id, 1, length(?)) = ?) "
        "ORDER BY id = ? DESC, newest DESC, rowid DESC LIMIT ?",
        (typed, beginning, beginning, beginning, typed, MOST_NEAR + 1),
    ).fetchall()
    if not found:
        raise _unknown(connection, typed)
    if len(found) > 1 and found[0][0] != typed and found[0][0] != beginning:
        near = _named(connection, [id for (id,) in found[:MOST_NEAR]])
        raise StoreError(f'more than one conversation begins with "{typed}"', remedy=f"say which: {near}")
    return str(found[0][0])


def _unknown(connection: sqlite3.Connection, typed: str) -> StoreError:
    newest = "SELECT id FROM conversations ORDER BY newest DESC, rowid DESC LIMIT 1000"
    ids = [id for (id,) in connection.execute(newest)]
    near = difflib.get_close_matches(typed_id(typed), ids, n=MOST_NEAR, cutoff=0.5) or ids[:MOST_NEAR]
    return StoreError(
        f'there is no conversation "{single_line(typed)}"',
        remedy=f"the nearest: {_named(connection, near)}" if near else "there are none yet",
    )


def _named(connection: sqlite3.Connection, ids: list[str]) -> str:
    titles = [connection.execute("SELECT title FROM conversations WHERE id = ?", (id,)).fetchone()[0] for id in ids]
    return ", ".join(f"{id} ({title})" if title else id for id, title in zip(ids, titles, strict=True))


def _read(connection: sqlite3.Connection, conversation_id: str) -> Conversation:
    title, created, updated = connection.execute(
        "SELECT title, created, updated FROM conversations WHERE id = ?", (conversation_id,)
    ).fetchone()
    rows = connection.execute(f"SELECT {COLUMNS} FROM messages WHERE conversation = ? ORDER BY id", (conversation_id,))
    images = pictures.read(connection, conversation_id)
    messages = tuple(_message(row, images.get(row[0], ())) for row in rows)
    return Conversation(id=conversation_id, title=title, messages=messages, created=created, updated=updated)


def _message(row: MessageRow, images: tuple[Image, ...]) -> Message:
    id, role, pinned, model, stop, created, content, written, earlier = row
    tools = decode(_Tools, written) if written else _Tools()
    return Message(
        id=id,
        role=Role(role),
        pinned=bool(pinned),
        model=model,
        stop=StopReason(stop) if stop else None,
        created=created,
        content=content,
        tool_calls=tools.calls,
        tool_call_id=tools.answers,
        earlier=tuple(json.loads(earlier)) if earlier else (),
        images=images,
    )


def _summary(connection: sqlite3.Connection, id: str, shown: int, searched: Sequence[str] = ()) -> ConversationSummary:
    """The summary of a conversation, with an excerpt of the message numbered ``shown``."""
    title, created, updated = connection.execute(
        "SELECT title, created, updated FROM conversations WHERE id = ?", (id,)
    ).fetchone()
    (messages,) = connection.execute("SELECT count(*) FROM messages WHERE conversation = ?", (id,)).fetchone()
    authors = connection.execute(
        "SELECT model, earlier FROM messages WHERE conversation = ? AND model != '' "
        "GROUP BY model, earlier ORDER BY min(id)",
        (id,),
    ).fetchall()
    models = dict.fromkeys(m for model, earlier in authors for m in (*json.loads(earlier or "[]"), model))
    (content,) = connection.execute("SELECT content FROM messages WHERE number = ?", (shown,)).fetchone()
    return ConversationSummary(
        id=id,
        title=title,
        messages=messages,
        created=created,
        updated=updated,
        models=tuple(models),
        snippet=excerpt(content, searched),
    )
