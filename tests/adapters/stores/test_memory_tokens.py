from __future__ import annotations

import tracemalloc

from taskrun.adapters.stores.memory_tokens import MAX_EXCHANGES, MemoryTokenStore
from taskrun.domain.certificates.certificate import LISTED_MS, Certificate
from taskrun.ports.enrollment import Enrollment, Exchange, TokenRecord


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


async def spend(store: MemoryTokenStore, number: int, until_ms: int) -> Exchange:
    exchange = Exchange(b"request", Enrollment(f"worker-{number}", b"", b""), until_ms)
    await store.put(TokenRecord(number.to_bytes(32), f"worker-{number}", expires_at_ms=until_ms))
    certificate = Certificate(f"{number:x}", "worker:w", until_ms - 1, until_ms - LISTED_MS)
    assert await store.spend(number.to_bytes(32), exchange, certificate, now_ms=until_ms - 1)
    return exchange


async def test_exchanges_whose_time_is_over_take_no_memory() -> None:
    store = MemoryTokenStore()
    tracemalloc.start()
    for number in range(2_000):
        await spend(store, number, until_ms=number + 1)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000


async def test_of_too_many_exchanges_the_oldest_is_forgotten() -> None:
    store = MemoryTokenStore()
    exchanges = [await spend(store, number, until_ms=1_000) for number in range(MAX_EXCHANGES + 1)]
    assert await store.spent_on((0).to_bytes(32), now_ms=999) is None
    assert await store.spent_on((1).to_bytes(32), now_ms=999) == exchanges[1]
    assert await store.spent_on(MAX_EXCHANGES.to_bytes(32), now_ms=999) == exchanges[-1]
