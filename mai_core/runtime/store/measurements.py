"""What loading and answering really took: the past that later decisions learn from.

Everything is kept by backend and by the key the model has there: two backends may offer models of one name.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from mai_core.policy.learning import Observation
from mai_core.policy.messages import Usage
from mai_core.policy.models import Footprint
from mai_core.policy.power import PowerDraw
from mai_core.policy.speed import MeasuredSpeed
from mai_core.runtime.store.codec import decode, encode
from mai_core.runtime.store.database import Database

__all__ = ["Failure", "LoadRecord", "Measurements"]

ROWS_KEPT = 5_000
RUNS_COUNTED = 20

# Below these a rate says more about the clock than about the model.
LEAST_PROMPT_TOKENS = 16
LEAST_COMPLETION_TOKENS = 8


class Failure(NamedTuple):
    """A model that did not do what it was asked; ``at`` is seconds since the epoch."""

    key: str
    backend: str
    error: str
    at: float


class LoadRecord(NamedTuple):
    """One load: the footprint that was expected, the one that came of it, and the seconds it took."""

    key: str
    backend: str
    context: int
    predicted: Footprint
    observed: Footprint
    seconds: float
    at: float


class Measurements(Database):
    """Of each kind the newest ``ROWS_KEPT`` stay."""

    def record_load(
        self, *, key: str, backend: str, context: int, predicted: Footprint, observed: Footprint, seconds: float
    ) -> None:
        """Remember a load: bytes expected and found, and how long it took."""
        self._append_row(
            "loads",
            key=key,
            backend=backend,
            context=context,
            predicted=encode(predicted),
            observed=encode(observed),
            seconds=seconds,
        )

    def record_footprint(self, observation: Observation) -> None:
        """Remember what a model in memory was predicted to take, and what it took."""
        self._append_row(
            "footprints",
            host=observation.host,
            engine=observation.engine,
            architecture=observation.architecture,
            backend=observation.backend,
            model=observation.model,
            predicted=encode(observation.predicted),
            observed=encode(observation.observed),
        )

    def observations(self, limit: int) -> list[Observation]:
        """The newest observations of footprints, newest first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT host, engine, architecture, backend, model, predicted, observed "
                "FROM footprints ORDER BY id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [
            Observation(host, engine, architecture, backend, model, decode(Footprint, was), decode(Footprint, found))
            for host, engine, architecture, backend, model, was, found in rows
        ]

    def record_reply(self, *, key: str, backend: str, usage: Usage, first_token_seconds: float) -> None:
        """Remember what a reply took."""
        self._append_row(
            "replies",
            key=key,
            backend=backend,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            prompt_seconds=usage.prompt_seconds,
            completion_seconds=usage.completion_seconds,
            first_token_seconds=first_token_seconds,
        )

    def record_failure(self, *, key: str, backend: str, error: str) -> None:
        """Remember that a model failed; ``error`` names the class of the failure."""
        self._append_row("failures", key=key, backend=backend, error=error)

    def forgive(self, *, key: str, backend: str) -> None:
        """Forget the failures of a model, because it works again."""
        with self._writing() as connection:
            connection.execute("DELETE FROM failures WHERE key = ? AND backend = ?", (key, backend))

    def failures(self, since: float) -> list[Failure]:
        """The failures at or after ``since`` (seconds since the epoch), oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT key, backend, error, made FROM failures WHERE made >= ? ORDER BY id", (since,)
            )
            return [Failure(*row) for row in rows]

    def loads(self, limit: int = RUNS_COUNTED) -> list[LoadRecord]:
        """The newest loads, newest first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT key, backend, context, predicted, observed, seconds, made FROM loads ORDER BY id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [
            LoadRecord(key, backend, context, decode(Footprint, predicted), decode(Footprint, observed), seconds, made)
            for key, backend, context, predicted, observed, seconds, made in rows
        ]

    def speeds(self) -> dict[tuple[str, str], MeasuredSpeed]:
        """By backend and model, the medians of its last ``RUNS_COUNTED`` runs; 0 for what was not measured.

        A prompt counts from 16 tokens that were not in the cache, a reply from 8 tokens.
        """
        with self._reading() as connection:
            prompt = _medians(
                connection,
                "replies",
                "(prompt_tokens - cached_tokens) / prompt_seconds",
                f"prompt_tokens - cached_tokens >= {LEAST_PROMPT_TOKENS} AND prompt_seconds > 0",
            )
            generation = _medians(
                connection,
                "replies",
                "completion_tokens / completion_seconds",
                f"completion_tokens >= {LEAST_COMPLETION_TOKENS} AND completion_seconds > 0",
            )
            load = _medians(connection, "loads", "seconds", "seconds > 0")
        return {
            place: MeasuredSpeed(
                prompt_tps=prompt.get(place, 0.0),
                generation_tps=generation.get(place, 0.0),
                load_seconds=load.get(place, 0.0),
            )
            for place in prompt.keys() | generation.keys() | load.keys()
        }

    def power_draw(self) -> PowerDraw:
        """What this machine draws, as far as that is known."""
        with self._reading() as connection:
            return _power_draw(connection)

    def learn_power(self, change: Callable[[PowerDraw], PowerDraw]) -> PowerDraw:
        """Replace what is known of this machine's power by what ``change`` makes of it; returns that."""
        with self._writing() as connection:
            known = change(_power_draw(connection))
            connection.execute("INSERT OR REPLACE INTO settings VALUES ('power', ?)", (encode(known),))
            return known

    def _append_row(self, table: str, **values: Any) -> None:
        columns = ("made", *values)
        places = ", ".join("?" * len(columns))
        with self._writing() as connection:
            id = connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", (self._now(), *values.values())
            ).lastrowid
            assert id is not None
            connection.execute(f"DELETE FROM {table} WHERE id <= ?", (id - ROWS_KEPT,))


def _power_draw(connection: sqlite3.Connection) -> PowerDraw:
    row = connection.execute("SELECT value FROM settings WHERE name = 'power'").fetchone()
    try:
        return decode(PowerDraw, row[0]) if row else PowerDraw()
    except ValueError:
        return PowerDraw()


def _medians(connection: sqlite3.Connection, table: str, value: str, counts: str) -> dict[tuple[str, str], float]:
    """By backend and model, the median of an SQL expression over the last runs that count."""
    runs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for backend, key, measured in connection.execute(
        "SELECT backend, key, measured FROM "
        "(SELECT backend, key, measured, row_number() OVER (PARTITION BY backend, key ORDER BY id DESC) AS age "
        f"FROM (SELECT id, backend, key, {value} AS measured FROM {table} WHERE {counts})) WHERE age <= {RUNS_COUNTED}"
    ):
        runs[backend, key].append(measured)
    return {place: median(measured) for place, measured in runs.items()}
