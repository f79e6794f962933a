"""PostgreSQL for a measurement: a server of its own, if there is one to be had, and a new database for each round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from taskrun.testing.postgres_server import PostgresServer, programs


@contextmanager
def fresh_databases() -> Iterator[Iterator[str] | None]:
    """URLs, each of an empty database, on a server that ends with this; None where PostgreSQL is not installed."""
    if not programs():
        yield None
        return
    server = PostgresServer()
    try:
        yield _made(server)
    finally:
        server.close()


def _made(server: PostgresServer) -> Iterator[str]:
    import psycopg

    for number in count():
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE bench_{number}".encode())
        yield server.url(f"bench_{number}")
