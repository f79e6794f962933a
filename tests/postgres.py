"""The PostgreSQL server of the tests: one a session, a fresh database a test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from taskrun.testing.postgres_server import PostgresServer, programs

#: Tests that need a server carry this, and are skipped where PostgreSQL is not installed.
needs_postgres = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")

_numbers = count(1)


class Databases:
    """Makes databases on a server, and removes them."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._names: list[str] = []

    def new(self) -> str:
        """The URL of an empty database."""
        name = f"test_{next(_numbers)}"
        self._do(f"CREATE DATABASE {name} STRATEGY file_copy")
        self._names.append(name)
        return self.server.url(name)

    def clear(self, url: str) -> None:
        """Empties the tables of a database, if it has any."""
        with psycopg.connect(url, autocommit=True) as connection:
            names = "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE tablename <> 'migrations' AND schemaname = 'public'"
            [tables] = connection.execute(names).fetchone() or [None]
            if tables:
                connection.execute(f"TRUNCATE {tables}".encode())

    def drop(self) -> None:
        """Removes them all, with whoever is connected."""
        while self._names:
            self._do(f"DROP DATABASE {self._names.pop()} WITH (FORCE)")

    def _do(self, sql: str) -> None:
        self.server.start()
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(sql.encode())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests. A test that stops it starts it again."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(durable=False)
    yield server
    server.close()


@pytest.fixture
def databases(postgres_server: PostgresServer) -> Iterator[Databases]:
    databases = Databases(postgres_server)
    yield databases
    databases.drop()


@pytest.fixture
def postgres_url(databases: Databases) -> str:
    """A fresh database."""
    return databases.new()
