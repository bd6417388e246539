"""How replies turned out: what this person's own outcomes are learnt from. Nothing of what was said is in it."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from typing import NamedTuple

from mai_core.policy.kinds import TaskKind
from mai_core.policy.outcomes import Outcome, Sign
from mai_core.runtime.store.database import Database
from mai_core.runtime.store.text import storable

__all__ = ["OUTCOMES_KEPT", "OutcomeChanges", "Outcomes", "unlink"]

log = logging.getLogger("mai.store")

OUTCOMES_KEPT = 10_000
COLUMNS = "made, model, kind, difficulty, discrimination, expected, value, sign, seconds"


class OutcomeChanges(NamedTuple):
    """Outcomes by their number, added or changed since an earlier ``version``; ``total`` is how many there are now."""

    version: int
    total: int
    changed: dict[int, Outcome]


class Outcomes(Database):
    """The newest ``OUTCOMES_KEPT`` outcomes."""

    def record_outcome(self, outcome: Outcome, conversation: str | None = None, message: int | None = None) -> Outcome:
        """Keep an outcome, made now; returns what counts.

        Of a message of a conversation there is one: the strongest sign, and of two that are as strong the later.
        """
        with self._writing() as connection:
            stored = replace(outcome, at=self._now(), model=storable(outcome.model))
            known = _known(connection, conversation, message)
            if known is not None and (earlier := known[1]).sign.weight > stored.sign.weight:
                return earlier
            version = _next_version(connection)
            if known is not None:
                changes = ", ".join(f"{column} = ?" for column in COLUMNS.split(", "))
                connection.execute(
                    f"UPDATE outcomes SET changed = ?, {changes} WHERE id = ?", (version, *_values(stored), known[0])
                )
                return stored
            values = (version, conversation, message, *_values(stored))
            id = connection.execute(
                f"INSERT INTO outcomes (changed, conversation, message, {COLUMNS}) "
                f"VALUES ({', '.join('?' * len(values))})",
                values,
            ).lastrowid
            assert id is not None
            connection.execute("DELETE FROM outcomes WHERE id <= ?", (id - OUTCOMES_KEPT,))
            return stored

    def outcome(self, conversation: str, message: int) -> Outcome | None:
        """What is known of how a reply turned out."""
        with self._reading() as connection:
            known = _known(connection, conversation, message)
            return known[1] if known is not None else None

    def outcomes_version(self) -> int:
        """Grows with every change of any outcome, by whatever process."""
        with self._reading() as connection:
            return _version(connection)

    def outcomes(self, since: int = 0) -> OutcomeChanges:
        """What was added or changed after the version ``since``; those of kinds this Mai does not know are left out."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT id, {COLUMNS} FROM outcomes WHERE changed > ? ORDER BY id", (since,)
            ).fetchall()
            (total,) = connection.execute("SELECT count(*) FROM outcomes").fetchone()
            version = _version(connection)
        found = {id: outcome for id, *row in rows if (outcome := _outcome(tuple(row))) is not None}
        return OutcomeChanges(version, total, found)

    def ratings(self, conversation: str) -> dict[int, float]:
        """By message, what the person said their replies were worth."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT message, value FROM outcomes WHERE conversation = ? AND sign = ? ORDER BY id",
                (conversation, Sign.RATED.value),
            )
            return dict(rows.fetchall())

    def forget_outcomes(self) -> int:
        """Delete all outcomes; returns how many there were."""
        with self._writing() as connection:
            _next_version(connection)
            forgotten = connection.execute("DELETE FROM outcomes").rowcount
        self._empty_journal()
        return forgotten


def unlink(connection: sqlite3.Connection, conversation: str, first: int = 0) -> None:
    """Let no outcome tell any more that it is of a message from ``first`` on, since those are deleted."""
    connection.execute(
        "UPDATE outcomes SET conversation = NULL, message = NULL WHERE conversation = ? AND message >= ?",
        (conversation, first),
    )


def _known(connection: sqlite3.Connection, conversation: str | None, message: int | None) -> tuple[int, Outcome] | None:
    row = connection.execute(
        f"SELECT id, {COLUMNS} FROM outcomes WHERE conversation = ? AND message = ?", (conversation, message)
    ).fetchone()
    outcome = _outcome(row[1:]) if row else None
    return (row[0], outcome) if outcome is not None else None


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM settings WHERE name = 'outcomes'").fetchone()
    return int(row[0]) if row else 0


def _next_version(connection: sqlite3.Connection) -> int:
    version = _version(connection) + 1
    connection.execute("INSERT OR REPLACE INTO settings VALUES ('outcomes', ?)", (str(version),))
    return version


Values = tuple[float, str, str, float, float, float, float, str, float]


def _values(outcome: Outcome) -> Values:
    return (
        outcome.at,
        outcome.model,
        outcome.kind.value,
        outcome.difficulty,
        outcome.discrimination,
        outcome.expected,
        outcome.value,
        outcome.sign.value,
        outcome.seconds,
    )


def _outcome(row: Values) -> Outcome | None:
    made, model, kind, difficulty, discrimination, expected, value, sign, seconds = row
    try:
        return Outcome(
            model=model,
            kind=TaskKind(kind),
            expected=expected,
            value=value,
            sign=Sign(sign),
            discrimination=discrimination,
            difficulty=difficulty,
            at=made,
            seconds=seconds,
        )
    except ValueError:
        log.warning("an outcome of another version cannot be read", extra={"kind": kind, "sign": sign})
        return None
