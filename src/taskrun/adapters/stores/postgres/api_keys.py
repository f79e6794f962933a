"""API keys in a PostgreSQL database: every control plane on it knows them, and what one revokes all refuse at once."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.adapters.stores import api_key_sql
from taskrun.adapters.stores.postgres.database import AsyncConnection, Database
from taskrun.domain.api_keys import LISTED_MS, ApiKey

_FORGET, _PUT, _FIND, _NAMED, _REVOKE = (
    text.replace("?", "%s")
    for text in (api_key_sql.FORGET, api_key_sql.PUT, api_key_sql.FIND, api_key_sql.NAMED, api_key_sql.REVOKE)
)


class PostgresApiKeyStore:
    """Implements `ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, key: ApiKey, now_ms: int) -> bool:
        """See `ApiKeyStore.put`."""
        return await self._database.change(_put, key, now_ms)

    async def find(self, digest: bytes) -> ApiKey | None:
        """See `ApiKeyStore.find`."""
        return await self._database.read(_one, _FIND, digest)

    async def all(self) -> Sequence[ApiKey]:
        """See `ApiKeyStore.all`."""
        return await self._database.read(_all)

    async def revoke(self, name: str, now_ms: int) -> ApiKey | None:
        """See `ApiKeyStore.revoke`."""
        return await self._database.change(_revoke, name, now_ms)


async def _put(connection: AsyncConnection, key: ApiKey, now_ms: int) -> bool:
    await connection.execute(_FORGET, [now_ms - LISTED_MS])
    return (await connection.execute(_PUT, [*api_key_sql.row_of(key), now_ms])).rowcount == 1


async def _one(connection: AsyncConnection, query: str, value: str | bytes) -> ApiKey | None:
    row = await (await connection.execute(query, [value])).fetchone()
    return api_key_sql.key_of(row) if row else None


async def _all(connection: AsyncConnection) -> Sequence[ApiKey]:
    return [api_key_sql.key_of(row) for row in await (await connection.execute(api_key_sql.ALL)).fetchall()]


async def _revoke(connection: AsyncConnection, name: str, now_ms: int) -> ApiKey | None:
    await connection.execute(_REVOKE, [now_ms, name])
    return await _one(connection, _NAMED, name)
