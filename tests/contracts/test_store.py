from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.stores.postgres import database as postgres
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.testing.contracts.store import StoreContract
from taskrun.testing.faulty_store import FaultyStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        store = SqliteStore(Database(tmp_path / "store.db"))
        yield store
        await store.close()


class TestPostgresStore(StoreContract):
    @pytest.fixture
    async def store(self, emptied_url: str) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(postgres.Database(emptied_url))
        yield store
        await store.close()


class TestFaultyStoreToldNothing(StoreContract):
    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore())
