"""Which conversations hold a term, and which messages of one conversation have to do with a question.

Words are looked up in a full-text index; a term no word begins with, or that is not made of words at all, is
searched for literally. The index is brought up to date by the search itself: so storing a message costs nothing
extra, and an SQLite without FTS5 can use the same file.

Words are cut by ``unicode61``. Trigrams, which would also serve the scripts without spaces, make the index three times
as large and still miss the commonest words of Chinese, which have two characters; conversations in those scripts are
read through instead.
"""

from __future__ import annotations

import re
import sqlite3
from unicodedata import category

__all__ = ["find", "forget", "has_full_text", "relevant", "words"]

# An expression of more words than this is nothing a person types; SQLite bounds how deep it may nest.
MOST_WORDS = 32
# Words of which five letters agree, or all of at least four, are taken for forms of one word.
STEM, LEAST_STEM = 5, 4


def find(connection: sqlite3.Connection, term: str, limit: int) -> list[tuple[str, int]]:
    """The conversations with a message that holds the term, and the number of the newest such message.

    The newest match comes first. Needs a transaction that may write.
    """
    if _is_made_of_words(term) and has_full_text(connection):
        _index(connection)
        phrases = " ".join(f'"{word}"*' for word in words(term))
        matches = "number IN (SELECT rowid FROM words WHERE words MATCH ?)"
        if found := _newest(connection, matches, phrases, limit):
            return found
    connection.create_function("holds", 2, _holds, deterministic=True)
    return _newest(connection, "holds(content, ?)", term.strip().casefold(), limit)


def relevant(connection: sqlite3.Connection, conversation: str, text: str, limit: int) -> list[tuple[int, float]]:
    """The ids of messages of a conversation that share words with the text, best first, with their BM25 score.

    None where words cannot be looked up: the text is of a script that does not separate them, or SQLite has no index.
    Needs a transaction that may write.
    """
    asked = list(dict.fromkeys(word[:STEM] for word in words(text.casefold())))[-MOST_WORDS:]
    if not asked or any(category(c) == "Lo" for word in asked for c in word) or not has_full_text(connection):
        return []
    _index(connection)
    beginnings = " OR ".join(f'"{word}"*' if len(word) >= LEAST_STEM else f'"{word}"' for word in asked)
    return connection.execute(
        "SELECT messages.id, -bm25(words) FROM words JOIN messages ON messages.number = words.rowid "
        "WHERE words MATCH ? AND words.rowid BETWEEN "
        "(SELECT min(number) FROM messages WHERE conversation = ?) AND "
        "(SELECT max(number) FROM messages WHERE conversation = ?) "
        "AND messages.conversation = ? ORDER BY bm25(words) LIMIT ?",
        (beginnings, conversation, conversation, conversation, limit),
    ).fetchall()


def words(term: str) -> list[str]:
    """The words of a term, without what separates them."""
    return re.findall(r"\w+", term)


def forget(connection: sqlite3.Connection, conversation: str, first: int = 0) -> None:
    """Remove a conversation's words from the index, or those of its messages from the id ``first`` on.

    To be called before the messages are deleted.
    """
    if not (has_full_text(connection) and _index_exists(connection)):
        return
    connection.execute(
        "INSERT INTO words (words, rowid, content) "
        "SELECT 'delete', number, content FROM messages WHERE conversation = ? AND id >= ? AND number <= ?",
        (conversation, first, _indexed(connection)),
    )
    # Until its segments are merged the index only marks words as deleted.
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")


def has_full_text(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite was built with FTS5."""
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


def _is_made_of_words(term: str) -> bool:
    """Whether looking up its words is enough: not in the scripts that put no space between them (and some others)."""
    return 0 < len(words(term)) <= MOST_WORDS and not any(category(c) == "Lo" for c in term)


def _newest(connection: sqlite3.Connection, matches: str, argument: str, limit: int) -> list[tuple[str, int]]:
    return connection.execute(
        f"SELECT conversation, max(number) FROM messages WHERE {matches} GROUP BY conversation ORDER BY 2 DESC LIMIT ?",
        (argument, limit),
    ).fetchall()


def _index(connection: sqlite3.Connection) -> None:
    if not _index_exists(connection):
        connection.execute(
            "CREATE VIRTUAL TABLE words USING fts5 "
            "(content, content = 'messages', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2')"
        )
    (newest,) = connection.execute("SELECT ifnull(max(number), 0) FROM messages").fetchone()
    if newest > (indexed := _indexed(connection)):
        connection.execute(
            "INSERT INTO words (rowid, content) SELECT number, content FROM messages WHERE number > ?", (indexed,)
        )
        connection.execute("INSERT OR REPLACE INTO settings VALUES ('indexed', ?)", (str(newest),))


def _index_exists(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone() is not None


def _indexed(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM settings WHERE name = 'indexed'").fetchone()
    return int(row[0]) if row else 0


def _holds(content: str, term: str) -> bool:
    return term in content.casefold()
