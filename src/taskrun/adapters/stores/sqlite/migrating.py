"""Bringing a database's schema up to date: the numbered files of `migrations/`, each applied once and never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from taskrun.adapters.stores.migrations import Migration, migrations_of, refuse_strange
from taskrun.adapters.stores.sqlite.connection import transaction, use_log
from taskrun.domain.errors import FailedPrecondition

_TABLE = """
    CREATE TABLE IF NOT EXISTS migrations (
        number   INTEGER PRIMARY KEY,
        name     TEXT NOT NULL,
        checksum TEXT NOT NULL  -- SHA-256 of the file that was applied
    )
"""


def known_migrations() -> list[Migration]:
    """The migrations of this version of TaskRun, in their order."""
    return migrations_of("taskrun.adapters.stores.sqlite")


def migrate(connection: sqlite3.Connection) -> None:
    """Applies what is missing, each step as a whole.

    Raises `FailedPrecondition`, having changed nothing, for a database of a newer TaskRun, one whose schema came from
    other files than ours, or one of another program. Raises `sqlite3.Error`.
    """
    known = known_migrations()
    done = applied(connection)
    refuse_strange(known, done)
    use_log(connection)
    for step in known[len(done) :]:
        with transaction(connection):
            connection.execute(_TABLE)
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (step.number, step.name, step.checksum))


def applied(connection: sqlite3.Connection) -> Mapping[int, tuple[str, str]]:
    """Name and checksum of what was applied, by number. Raises `FailedPrecondition` for another program's database."""
    # Many programs keep their steps in a table of this name.
    columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('migrations')")}
    if not columns >= {"number", "name", "checksum"}:
        if connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise FailedPrecondition("This SQLite database belongs to another program.")
        return {}
    rows = connection.execute("SELECT number, name, checksum FROM migrations ORDER BY number")
    return {number: (name, checksum) for number, name, checksum in rows}


def _statements(sql: str) -> Iterator[str]:
    """The statements of a file. One that goes over several lines ends with a line that ends with a semicolon."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
