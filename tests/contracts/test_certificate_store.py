from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.stores.postgres import database as postgres
from taskrun.adapters.stores.postgres.certificates import PostgresCertificateStore
from taskrun.adapters.stores.postgres.tokens import PostgresTokenStore
from taskrun.adapters.stores.sqlite.certificates import SqliteCertificateStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.tokens import SqliteTokenStore
from taskrun.testing.contracts.certificate_store import CertificateStoreContract, Stores


class TestMemoryCertificateStore(CertificateStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        certificates = MemoryCertificateStore()
        return Stores(certificates, MemoryTokenStore(certificates))


class TestSqliteCertificateStore(CertificateStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        database = Database(tmp_path / "store.db")
        yield Stores(SqliteCertificateStore(database), SqliteTokenStore(database))
        await database.close()


class TestPostgresCertificateStore(CertificateStoreContract):
    @pytest.fixture
    async def stores(self, emptied_url: str) -> AsyncIterator[Stores]:
        database = postgres.Database(emptied_url)
        yield Stores(PostgresCertificateStore(database), PostgresTokenStore(database))
        await database.close()
