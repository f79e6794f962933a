from __future__ import annotations

import tracemalloc

from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.ports.enrollment import TokenRecord


async def test_expired_tokens_take_no_memory() -> None:
    store = MemoryTokenStore()
    tracemalloc.start()
    for number in range(5_000):
        await store.put(TokenRecord(number.to_bytes(32), f"worker-{number}", expires_at_ms=number + 1))
        await store.find(b"", now_ms=number)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000


async def test_a_token_put_again_lives_until_its_later_end() -> None:
    store = MemoryTokenStore()
    await store.put(TokenRecord(b"a", "worker-a", expires_at_ms=10))
    await store.put(again := TokenRecord(b"a", "worker-a", expires_at_ms=20))
    assert await store.find(b"a", now_ms=15) == again
