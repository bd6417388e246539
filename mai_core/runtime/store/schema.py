"""The tables, and how an older database becomes one of today.

``MIGRATIONS[n]`` leads from version ``n`` to ``n + 1``. A published migration never changes; a new one is added.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mai_core.errors import StoreError

__all__ = ["MIGRATIONS", "prepare"]

APPLICATION_ID = int.from_bytes(b"Mai!", "big")

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # ``newest`` is the number of the newest message, 0 while there is none: conversations are ordered by it and
        # not by the clock, which may be set back.
        """
        CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            created REAL NOT NULL,
            updated REAL NOT NULL,
            newest INTEGER NOT NULL DEFAULT 0,
            context_state TEXT
        )
        """,
        "CREATE INDEX conversations_by_use ON conversations (newest)",
        # ``number`` counts over all conversations and is never used again. ``content`` stands last, so that the
        # other columns of a long message are read without it.
        """
        CREATE TABLE messages (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            id INTEGER NOT NULL,
            role TEXT NOT NULL,
            pinned INTEGER NOT NULL,
            model TEXT NOT NULL,
            stop TEXT,
            created REAL NOT NULL,
            content TEXT NOT NULL,
            UNIQUE (conversation, id)
        )
        """,
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """
        CREATE TABLE decisions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            message_id INTEGER NOT NULL,
            made REAL NOT NULL,
            decision TEXT NOT NULL,
            receipt TEXT
        )
        """,
        "CREATE INDEX decisions_by_conversation ON decisions (conversation, id)",
        """
        CREATE TABLE loads (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            made REAL NOT NULL,
            key TEXT NOT NULL,
            backend TEXT NOT NULL,
            context INTEGER NOT NULL,
            predicted TEXT NOT NULL,
            observed TEXT NOT NULL,
            seconds REAL
        )
        """,
        """
        CREATE TABLE replies (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            made REAL NOT NULL,
            key TEXT NOT NULL,
            backend TEXT NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            prompt_seconds REAL,
            completion_seconds REAL,
            first_token_seconds REAL
        )
        """,
        """
        CREATE TABLE failures (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            made REAL NOT NULL,
            key TEXT NOT NULL,
            backend TEXT NOT NULL,
            error TEXT NOT NULL
        )
        """,
    ),
    (
        # ``tools`` is the JSON of what a message has to do with tools, NULL for almost all.
        "ALTER TABLE messages ADD COLUMN tools TEXT",
    ),
    (
        # ``earlier`` is a JSON list of the models that wrote all of a reply but its end, NULL for almost all.
        "ALTER TABLE messages ADD COLUMN earlier TEXT",
    ),
    (
        "CREATE TABLE images (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL)",
        """
        CREATE TABLE message_images (
            message INTEGER NOT NULL REFERENCES messages (number) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            image TEXT NOT NULL REFERENCES images (sha256),
            PRIMARY KEY (message, position)
        )
        """,
        "CREATE INDEX message_images_by_image ON message_images (image)",
    ),
    (
        # ``predicted`` and ``observed`` are footprints of one moment, as JSON.
        """
        CREATE TABLE footprints (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            made REAL NOT NULL,
            host TEXT NOT NULL,
            engine TEXT NOT NULL,
            architecture TEXT NOT NULL,
            backend TEXT NOT NULL,
            model TEXT NOT NULL,
            predicted TEXT NOT NULL,
            observed TEXT NOT NULL
        )
        """,
    ),
    (
        # Billionths of money. ``spent`` is NULL until a reply has told what it took; until then ``reserved`` counts.
        """
        CREATE TABLE spendings (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            made REAL NOT NULL,
            day TEXT NOT NULL,
            key TEXT NOT NULL,
            backend TEXT NOT NULL,
            reserved INTEGER NOT NULL,
            spent INTEGER
        )
        """,
        "CREATE INDEX spendings_by_day ON spendings (day)",
    ),
    (
        # What became of replies, and nothing of what was said. ``message`` is NULL for what is no reply. Of replies
        # that are gone, with their conversation or without, nothing stays that tells where they stood. ``changed``
        # counts changes up; setting 'outcomes' holds the newest.
        """
        CREATE TABLE outcomes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            changed INTEGER NOT NULL,
            conversation TEXT REFERENCES conversations (id) ON DELETE SET NULL,
            message INTEGER,
            made REAL NOT NULL,
            model TEXT NOT NULL,
            kind TEXT NOT NULL,
            difficulty REAL NOT NULL,
            discrimination REAL NOT NULL,
            expected REAL NOT NULL,
            value REAL NOT NULL,
            sign TEXT NOT NULL,
            seconds REAL NOT NULL
        )
        """,
        "CREATE INDEX outcomes_by_change ON outcomes (changed)",
        "CREATE INDEX outcomes_by_message ON outcomes (conversation, message)",
    ),
)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make an open database ready for use, whether it is new, old or already so.

    Raises ``StoreError`` before anything is written when it is another program's or a newer Mai's.
    """
    # One moment for all that is asked, while another process may be preparing the same file.
    connection.execute("BEGIN")
    try:
        version = _version(connection, path)
    finally:
        connection.rollback()
    # WAL: readers never wait for the writer. FULL: a committed message outlives a power cut. Deleted words are
    # overwritten, not only forgotten.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    if version < len(MIGRATIONS):
        _migrate(connection, path)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    if application != APPLICATION_ID and not (is_empty and version == 0):
        raise StoreError(f"{path} is another program's database", remedy="move it away, or set MAI_HOME")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer Mai", remedy="update Mai, or move it away to start a new history"
        )
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """All or nothing; the version is read again inside, since another process may have come first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in MIGRATIONS[_version(connection, path) :]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
