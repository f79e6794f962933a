from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from tests.adapters.stores.limited_planes import Planes, Start


@pytest.fixture
async def planes(emptied_url: str) -> AsyncIterator[Planes]:
    """Control planes on one database."""
    planes = Planes(emptied_url)
    yield planes
    await planes.stop()


@pytest.fixture
def start(planes: Planes) -> Start:
    """Starts a control plane under these limits, on the database of all that are started with it."""
    return planes.start


@pytest.fixture
async def stores(emptied_url: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """Two that share a database."""
    one, other = [PostgresStore(await asyncio.to_thread(Database, emptied_url)) for _ in range(2)]
    await one.recover()
    await other.recover()
    yield one, other
    await one.close()
    await other.close()
