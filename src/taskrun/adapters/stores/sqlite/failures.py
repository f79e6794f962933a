"""What SQLite's errors mean, in sentences that hold no SQL and no path."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from taskrun.domain.errors import StoreFailed

#: By SQLite's primary error code.
_SENTENCES = {
    sqlite3.SQLITE_FULL: "The disk that holds the tasks is full.",
    sqlite3.SQLITE_BUSY: "Another program keeps the tasks' database locked.",
    sqlite3.SQLITE_LOCKED: "Another program keeps the tasks' database locked.",
    sqlite3.SQLITE_READONLY: "The tasks' database cannot be written.",
    sqlite3.SQLITE_PERM: "The tasks' database cannot be written.",
    sqlite3.SQLITE_CANTOPEN: "The tasks' database cannot be opened.",
    sqlite3.SQLITE_IOERR: "The disk that holds the tasks does not read or write.",
    sqlite3.SQLITE_CORRUPT: "The tasks' database is damaged: taskrun store check says more.",
    sqlite3.SQLITE_NOTADB: "The tasks' file is no SQLite database.",
}


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary error code, 0 for an error that is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def store_failed(error: sqlite3.Error) -> StoreFailed:
    """The error as the port names it."""
    sentence = _SENTENCES.get(code_of(error))
    if sentence is None:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        sentence = f"The tasks' database refused its work ({name})."
    return StoreFailed(sentence)


@contextmanager
def translated() -> Iterator[None]:
    """Within it, what SQLite raises, and a value that cannot be encoded or decoded, becomes `StoreFailed`."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_failed(error) from error
    except (ValueError, OverflowError) as error:
        raise StoreFailed(f"A record does not fit into the store: {type(error).__name__}.") from error
