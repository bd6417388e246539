"""What was learnt of strategies: one state that all processes of a person share."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

from mai_core.policy.experts import Experts
from mai_core.runtime.store.codec import decode, encode
from mai_core.runtime.store.database import Database

__all__ = ["LearntExperts"]

log = logging.getLogger("mai.store")


class LearntExperts(Database):
    """The state of the arbiter that learns."""

    def experts(self) -> Experts | None:
        """What was learnt so far; None where nothing was."""
        with self._reading() as connection:
            return _read(connection)

    def learn(self, change: Callable[[Experts | None], Experts]) -> None:
        """Replace what was learnt by what ``change`` makes of it; no other process comes between."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO settings VALUES ('experts', ?)", (encode(change(_read(connection))),)
            )


def _read(connection: sqlite3.Connection) -> Experts | None:
    row = connection.execute("SELECT value FROM settings WHERE name = 'experts'").fetchone()
    try:
        return decode(Experts, row[0]) if row else None
    except ValueError:
        log.warning("what another version learnt of strategies cannot be read and is begun anew")
        return None
