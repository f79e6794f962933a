from __future__ import annotations

import pytest

from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.testing.contracts.token_store import TokenStoreContract


class TestMemoryTokenStore(TokenStoreContract):
    @pytest.fixture
    def tokens(self) -> MemoryTokenStore:
        return MemoryTokenStore()
