from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.stores.postgres import database as postgres
from taskrun.adapters.stores.postgres.tokens import PostgresTokenStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.tokens import SqliteTokenStore
from taskrun.testing.contracts.token_store import TokenStoreContract


class TestMemoryTokenStore(TokenStoreContract):
    @pytest.fixture
    def tokens(self) -> MemoryTokenStore:
        return MemoryTokenStore()


class TestSqliteTokenStore(TokenStoreContract):
    @pytest.fixture
    async def tokens(self, tmp_path: Path) -> AsyncIterator[SqliteTokenStore]:
        database = Database(tmp_path / "store.db")
        yield SqliteTokenStore(database)
        await database.close()


class TestPostgresTokenStore(TokenStoreContract):
    @pytest.fixture
    async def tokens(self, emptied_url: str) -> AsyncIterator[PostgresTokenStore]:
        database = postgres.Database(emptied_url)
        yield PostgresTokenStore(database)
        await database.close()
