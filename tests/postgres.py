"""The PostgreSQL server of the tests: one a session, a fresh database a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

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
            rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            # TRUNCATE would make new files for each table and index.
            words = [f"DELETE FROM {name};" for (name,) in rows if name != "migrations"]
            connection.execute("".join(words).encode())

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


class Proxy:
    """A unix socket that leads to the server, until it is cut."""

    def __init__(self, server: PostgresServer, directory: Path) -> None:
        self._target = str(server.directory / ".s.PGSQL.5432")
        self._directory = directory
        self._writers: list[asyncio.StreamWriter] = []
        #: Bytes on their way to the server at which the connection is cut: what comes before them arrives.
        self.cut_at: bytes = b""
        #: Bytes that still arrive, but what the server answers does not.
        self.deaf_after: bytes = b""
        self._deaf = False
        self.cut_so_far = 0

    def url(self, database_url: str) -> str:
        """The same database, through the proxy."""
        return f"{database_url.split('?')[0]}?host={self._directory}"

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._directory / ".s.PGSQL.5432")

    async def stop(self) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection at once."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, there_writer]
        back = asyncio.create_task(self._answer(there_reader, writer))
        await self._ask(reader, there_writer)
        there_writer.transport.abort()
        writer.transport.abort()
        await back

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while sent := await reader.read(1 << 20):
                if self.cut_at and self.cut_at in sent:
                    self.cut_so_far += 1
                    writer.write(sent[: sent.index(self.cut_at)])
                    await writer.drain()
                    return
                self._deaf = self._deaf or (bool(self.deaf_after) and self.deaf_after in sent)
                writer.write(sent)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while sent := await reader.read(1 << 20):
                if self._deaf:
                    self.cut_so_far += 1
                    writer.transport.abort()
                    self._deaf = False
                    return
                writer.write(sent)
                await writer.drain()


@pytest.fixture(scope="session")
def _used_database(postgres_server: PostgresServer) -> Iterator[tuple[Databases, str]]:
    databases = Databases(postgres_server)
    yield databases, databases.new()
    databases.drop()


@pytest.fixture
def emptied_url(_used_database: tuple[Databases, str]) -> str:
    """A database that is empty but for its schema: had much sooner than a fresh one."""
    databases, url = _used_database
    databases.clear(url)
    return url


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    with TemporaryDirectory(prefix="pg-proxy-") as directory:
        proxy = Proxy(postgres_server, Path(directory))
        await proxy.start()
        yield proxy
        await proxy.stop()


@pytest.fixture
def postgres_url(databases: Databases) -> str:
    """A fresh database."""
    return databases.new()
