from __future__ import annotations

import pytest

from taskrun.adapters.stores.memory import MemoryStore
from taskrun.testing.contracts.store import StoreContract
from taskrun.testing.faulty_store import FaultyStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestFaultyStoreToldNothing(StoreContract):
    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore())
