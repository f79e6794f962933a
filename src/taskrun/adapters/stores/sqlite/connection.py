"""Connections with the settings that the store's promises rest on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Prepared statements that a connection keeps.
_STATEMENTS = 256

#: In force on every connection. A commit is on the disk when it returns (FULL); SQL that somebody put into the file is
#: not trusted.
_SETTINGS = {
    "synchronous": "FULL",
    "busy_timeout": 5000,
    "foreign_keys": "ON",
    "trusted_schema": "OFF",
    "journal_size_limit": 64 * 1024 * 1024,
}
#: KiB of pages that a connection keeps in memory.
_WRITER_CACHE, _READER_CACHE = 32 * 1024, 4 * 1024
#: Pages in the write-ahead log before they are moved into the database: fewer moves write a page that many commits
#: touched once.
_CHECKPOINT = 4000


def make_private_file(path: Path) -> None:
    """Makes the file, and its directory (0700), if they are not there; in any case the file is 0600. SQLite gives the
    files that it puts beside it the same mode. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that may write. Transactions are begun by name (`transaction`). Raises `sqlite3.Error`."""
    connection = _connect(str(path))
    connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT}")
    return connection


def use_log(connection: sqlite3.Connection) -> None:
    """Makes a reader never wait for the writer, nor the writer for readers (WAL). The file says so from now on, for all
    its connections: it must be ours. Raises `sqlite3.Error`."""
    connection.execute("PRAGMA journal_mode=WAL")


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises `sqlite3.Error`."""
    return _reading(_connect(str(path)))


def has_log(path: Path) -> bool:
    """Whether the log and its index are there."""
    return all(os.path.exists(f"{path}{end}") for end in ("-wal", "-shm"))


def open_onlooker(path: Path, *, logged: bool) -> sqlite3.Connection:
    """A reader that changes no byte and makes no file, whatever the file is. Raises `sqlite3.Error`, at its first use.

    Where it is `logged` (see `has_log`), it reads with the log and its index, as they are. Where not, nobody has a
    database of ours open: the file is read as it is, without locks. What it reads is then to be trusted if nobody opens
    it meanwhile; and of a log without its index it sees nothing.
    """
    how = "mode=ro&readonly_shm=1" if logged else "immutable=1"
    return _reading(_connect(f"{path.absolute().as_uri()}?{how}", uri=True))


def _reading(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute(f"PRAGMA cache_size=-{_READER_CACHE}")
    connection.execute("PRAGMA query_only=ON")
    return connection


def _connect(place: str, *, uri: bool = False) -> sqlite3.Connection:
    # One thread at a time uses it; it may be closed by another.
    connection = sqlite3.connect(
        place,
        isolation_level=None,
        cached_statements=_STATEMENTS,
        check_same_thread=False,
        uri=uri,
    )
    try:
        for name, setting in _SETTINGS.items():
            connection.execute(f"PRAGMA {name}={setting}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written within is stored together, or nothing of it.

    IMMEDIATE, because a transaction that begins by reading may be refused its first write without waiting.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is read within is of one moment. Keep it short: the log cannot be cut back meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
