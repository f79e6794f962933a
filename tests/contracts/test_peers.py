from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.testing.contracts.peers import PeersContract


class TestPostgresPeers(PeersContract):
    @pytest.fixture
    async def a(self, emptied_url: str) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(Database(emptied_url))
        await store.recover()
        yield store
        await store.close()

    @pytest.fixture
    async def b(self, a: PostgresStore, emptied_url: str) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(Database(emptied_url))
        await store.recover()
        yield store
        await store.close()
