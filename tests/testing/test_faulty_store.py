from __future__ import annotations

import asyncio

import pytest

from taskrun.adapters.stores.memory import MemoryStore
from taskrun.domain.errors import StoreFailed
from taskrun.testing.contracts.store_cases import make_task, save, task_id
from taskrun.testing.faulty_store import FaultyStore


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


async def test_a_commit_that_fails_stores_nothing(store: FaultyStore) -> None:
    store.fail_commits(2)
    for _ in range(2):
        with pytest.raises(StoreFailed):
            await save(store, make_task(1))
    assert await store.get(task_id(1)) is None
    await save(store, make_task(1))
    assert await store.get(task_id(1)) == make_task(1)
    assert store.commits == 3


async def test_a_commit_whose_answer_is_lost_is_stored(store: FaultyStore) -> None:
    store.lose_answers()
    with pytest.raises(StoreFailed):
        await save(store, make_task(1))
    assert await store.get(task_id(1)) == make_task(1)
    await save(store, make_task(2))


async def test_a_broken_store_fails_every_call_until_it_is_mended(store: FaultyStore) -> None:
    store.break_down()
    for call in (
        store.recover(),
        store.get("x"),
        store.backlog(),
        store.story("x", 0),
        store.ahead("x", 1),
        save(store, make_task(1)),
    ):
        with pytest.raises(StoreFailed):
            await call
    store.mend()
    assert await store.get(task_id(1)) is None


async def test_a_commit_that_lags_stores_nothing_before_its_time(store: FaultyStore) -> None:
    late = store.lag()
    commit = asyncio.create_task(save(store, make_task(1)))
    await store.held()
    assert await store.get(task_id(1)) is None
    await save(store, make_task(2))
    late.set()
    await commit
    assert await store.get(task_id(1)) == make_task(1)


async def test_a_commit_may_lag_and_then_fail(store: FaultyStore) -> None:
    late = store.lag()
    store.fail_commits()
    commit = asyncio.create_task(save(store, make_task(1)))
    await store.held()
    late.set()
    with pytest.raises(StoreFailed):
        await commit


async def test_a_clogged_store_answers_nobody_until_it_is_free(store: FaultyStore) -> None:
    store.clog()
    calls = [asyncio.create_task(save(store, make_task(1))), asyncio.create_task(store.recover())]
    await store.held()
    await asyncio.sleep(0)
    assert not any(call.done() for call in calls)
    store.unclog()
    await asyncio.gather(*calls)
    assert await store.get(task_id(1)) == make_task(1)


async def test_a_clogged_store_can_be_closed(store: FaultyStore) -> None:
    store.clog()
    await store.close()
