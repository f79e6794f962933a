"""Bringing a database's schema up to date, while others may be about to do the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from taskrun.adapters.stores.migrations import Migration, migrations_of, refuse_strange
from taskrun.domain.errors import FailedPrecondition

#: The key of the advisory lock that is held while the schema changes.
_LOCK = 0x7461736B72756E
_TABLE = """
    CREATE TABLE IF NOT EXISTS migrations (
        number   integer PRIMARY KEY,
        name     text NOT NULL,
        checksum text NOT NULL  -- SHA-256 of the file that was applied
    )
"""
#: The tables of the schema that ours would be made in.
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"

Connection = psycopg.Connection[tuple[Any, ...]]


def known_migrations() -> list[Migration]:
    """The migrations of this version of TaskRun, in their order."""
    return migrations_of("taskrun.adapters.stores.postgres")


def migrate(connection: Connection) -> None:
    """Applies what is missing, all of it or nothing; of several that come at once one does it, and the others wait.

    Raises `FailedPrecondition`, having changed nothing, for a database of a newer TaskRun, one whose schema came from
    other files than ours, or one of another program. Raises `psycopg.Error`.
    """
    known = known_migrations()
    with connection.transaction():
        # Whoever else migrates is done within a moment, or has so much to do that waiting for it is right.
        connection.execute("SET LOCAL lock_timeout = '5min'")
        connection.execute("SET LOCAL statement_timeout = '5min'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        done = applied(connection)
        refuse_strange(known, done)
        for step in known[len(done) :]:
            connection.execute(_TABLE)
            connection.execute(sql.SQL(step.sql))
            connection.execute("INSERT INTO migrations VALUES (%s, %s, %s)", [step.number, step.name, step.checksum])


def applied(connection: Connection) -> Mapping[int, tuple[str, str]]:
    """Name and checksum of what was applied, by number. Raises `FailedPrecondition` for another program's database."""
    tables = {name for (name,) in connection.execute(_TABLES)}
    if "migrations" not in tables:
        if tables:
            raise FailedPrecondition("This PostgreSQL schema belongs to another program: give TaskRun one of its own.")
        return {}
    rows = connection.execute("SELECT number, name, checksum FROM migrations ORDER BY number")
    return {number: (name, checksum) for number, name, checksum in rows}
