"""API keys in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from taskrun.adapters.stores import api_key_sql as sql
from taskrun.adapters.stores.sqlite.connection import transaction
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.domain.api_keys import LISTED_MS, ApiKey


class SqliteApiKeyStore:
    """Implements `ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, key: ApiKey, now_ms: int) -> bool:
        """See `ApiKeyStore.put`."""
        return await self._database.write(_put, self._database.writer, key, now_ms)

    async def find(self, digest: bytes) -> ApiKey | None:
        """See `ApiKeyStore.find`."""
        return await self._database.read(_one, sql.FIND, digest)

    async def all(self) -> Sequence[ApiKey]:
        """See `ApiKeyStore.all`."""
        return await self._database.read(_all)

    async def revoke(self, name: str, now_ms: int) -> ApiKey | None:
        """See `ApiKeyStore.revoke`."""
        return await self._database.write(_revoke, self._database.writer, name, now_ms)


def _put(connection: sqlite3.Connection, key: ApiKey, now_ms: int) -> bool:
    with transaction(connection):
        connection.execute(sql.FORGET, (now_ms - LISTED_MS,))
        return connection.execute(sql.PUT, (*sql.row_of(key), now_ms)).rowcount == 1


def _one(connection: sqlite3.Connection, query: str, value: str | bytes) -> ApiKey | None:
    row = connection.execute(query, (value,)).fetchone()
    return sql.key_of(row) if row else None


def _all(connection: sqlite3.Connection) -> Sequence[ApiKey]:
    return [sql.key_of(row) for row in connection.execute(sql.ALL)]


def _revoke(connection: sqlite3.Connection, name: str, now_ms: int) -> ApiKey | None:
    with transaction(connection):
        connection.execute(sql.REVOKE, (now_ms, name))
        return _one(connection, sql.NAMED, name)
