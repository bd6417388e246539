"""Why each model was chosen, and which one the person pinned."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from mai_core.errors import StoreError
from mai_core.policy.context import Receipt
from mai_core.policy.selection import Decision
from mai_core.runtime.store.codec import decode, encode
from mai_core.runtime.store.database import Database

__all__ = ["Decisions", "StoredDecision"]

log = logging.getLogger("mai.store")

DECISIONS_KEPT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """A decision, the message it was made for, and what became of the context.

    ``made`` is seconds since the epoch. ``receipt`` is None until a model was given the conversation.
    """

    id: int
    conversation: str
    message_id: int
    made: float
    decision: Decision
    receipt: Receipt | None = None


class Decisions(Database):
    """The newest decisions, in order, and the pin all processes of this person share."""

    def save_decision(self, conversation_id: str, message_id: int, decision: Decision) -> int:
        """Keep a decision and drop the oldest beyond ``DECISIONS_KEPT``; returns its id for ``save_receipt``."""
        text = encode(decision)
        with self._writing() as connection:
            if not connection.execute("SELECT 1 FROM conversations WHERE id = ?", (conversation_id,)).fetchone():
                raise StoreError(f'there is no conversation "{conversation_id}"')
            id = connection.execute(
                "INSERT INTO decisions (conversation, message_id, made, decision) VALUES (?, ?, ?, ?)",
                (conversation_id, message_id, self._now(), text),
            ).lastrowid
            assert id is not None
            connection.execute("DELETE FROM decisions WHERE id <= ?", (id - DECISIONS_KEPT,))
            return id

    def save_receipt(self, decision_id: int, receipt: Receipt) -> None:
        """Keep what was left out of the prompt. Nothing happens when the decision is gone with its conversation."""
        with self._writing() as connection:
            connection.execute("UPDATE decisions SET receipt = ? WHERE id = ?", (encode(receipt), decision_id))

    def last_decision(self, conversation_id: str | None = None) -> StoredDecision | None:
        """The newest decision of one conversation, or of all.

        None also when another version of Mai wrote it in a form this one cannot read.
        """
        with self._reading() as connection:
            row = connection.execute(
                "SELECT id, conversation, message_id, made, decision, receipt FROM decisions "
                "WHERE ?1 IS NULL OR conversation = ?1 ORDER BY id DESC LIMIT 1",
                (conversation_id,),
            ).fetchone()
        if row is None:
            return None
        id, conversation, message_id, made, decision, receipt = row
        try:
            return StoredDecision(
                id=id,
                conversation=conversation,
                message_id=message_id,
                made=made,
                decision=decode(Decision, decision),
                receipt=decode(Receipt, receipt) if receipt else None,
            )
        except ValueError:
            log.warning("a decision of another version cannot be read", extra={"decision": id})
            return None

    def pin(self, key: str | None, backends: Sequence[str] = ()) -> None:
        """Let this model, which these backends have, answer until another is pinned; None lets Mai choose again."""
        with self._writing() as connection:
            connection.execute("DELETE FROM settings WHERE name IN ('pinned', 'pinned_on')")
            if key is not None:
                places = json.dumps([key, *backends])
                rows = [("pinned", key), ("pinned_on", places)]
                connection.executemany("INSERT INTO settings VALUES (?, ?)", rows)

    def pinned(self) -> str | None:
        """The model every process of this person is to use, whichever process pinned it."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM settings WHERE name = 'pinned'").fetchone()
            return row[0] if row else None

    def pinned_on(self, key: str) -> tuple[str, ...]:
        """The backends that had this model when it was pinned; none when that is not known."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM settings WHERE name = 'pinned_on'").fetchone()
        pinned, *backends = json.loads(row[0]) if row else ("",)
        return tuple(backends) if pinned == key else ()
