from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskrun.adapters.stores.memory_api_keys import MemoryApiKeyStore
from taskrun.adapters.stores.postgres import database as postgres
from taskrun.adapters.stores.postgres.api_keys import PostgresApiKeyStore
from taskrun.adapters.stores.sqlite.api_keys import SqliteApiKeyStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.testing.contracts.api_key_store import ApiKeyStoreContract


class TestMemoryApiKeyStore(ApiKeyStoreContract):
    @pytest.fixture
    def keys(self) -> MemoryApiKeyStore:
        return MemoryApiKeyStore()


class TestSqliteApiKeyStore(ApiKeyStoreContract):
    @pytest.fixture
    async def keys(self, tmp_path: Path) -> AsyncIterator[SqliteApiKeyStore]:
        database = Database(tmp_path / "store.db")
        yield SqliteApiKeyStore(database)
        await database.close()


class TestPostgresApiKeyStore(ApiKeyStoreContract):
    @pytest.fixture
    async def keys(self, emptied_url: str) -> AsyncIterator[PostgresApiKeyStore]:
        database = postgres.Database(emptied_url)
        yield PostgresApiKeyStore(database)
        await database.close()
