"""What tokens cost, and what is reserved for those still to come: one account that all processes of a person share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

from mai_core.policy.budget import Budget, Grant
from mai_core.runtime.store.database import Database

__all__ = ["Spendings"]

SECONDS_KEPT = 100 * 24 * 3600.0


class Spendings(Database):
    """Amounts in billionths; a ``day`` is ``2026-11-23``, of the person's own calendar.

    What was reserved and never settled counts: whoever reserved it may have died before it could say what was spent.
    """

    def spent(self, day: str, limits: Budget) -> Budget:
        """The limits with what was spent of them."""
        with self._reading() as connection:
            return _spent(connection, day, limits)

    def reserve(
        self, day: str, limits: Budget, ask: Callable[[Budget], Grant | None], *, key: str, backend: str
    ) -> tuple[int, Grant] | Budget:
        """Reserve what ``ask`` makes of what is left, and the number to settle it by; else what left too little.

        Nobody spends between what ``ask`` sees and what it is granted.
        """
        with self._writing() as connection:
            budget = _spent(connection, day, limits)
            grant = ask(budget)
            if grant is None:
                return budget
            now = self._now()
            number = connection.execute(
                "INSERT INTO spendings (made, day, key, backend, reserved) VALUES (?, ?, ?, ?, ?)",
                (now, day, key, backend, grant.amount),
            ).lastrowid
            assert number is not None
            connection.execute("DELETE FROM spendings WHERE made < ?", (now - SECONDS_KEPT,))
            return number, grant

    def settle(self, number: int, amount: int) -> None:
        """Count what was spent in place of what was reserved."""
        with self._writing() as connection:
            connection.execute("UPDATE spendings SET spent = ? WHERE id = ?", (amount, number))


def _spent(connection: sqlite3.Connection, day: str, limits: Budget) -> Budget:
    today, unsettled = connection.execute(
        "SELECT ifnull(sum(ifnull(spent, reserved)), 0), ifnull(sum(reserved) FILTER (WHERE spent IS NULL), 0) "
        "FROM spendings WHERE day = ?",
        (day,),
    ).fetchone()
    (month,) = connection.execute(
        "SELECT ifnull(sum(ifnull(spent, reserved)), 0) FROM spendings WHERE day BETWEEN ? AND ?",
        (f"{day[:7]}-01", f"{day[:7]}-31"),
    ).fetchone()
    return replace(limits, today=today, month=month, open=unsettled)
