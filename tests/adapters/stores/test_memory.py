from __future__ import annotations

import asyncio
import gc
import time

import pytest

from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.stores.page_tokens import id_of_token
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import TaskPage, TaskQuery
from taskrun.ports.store import Batch, ClaimNext
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    RUNNING,
    change,
    claim,
    claim_task,
    find_key,
    make_task,
    moved,
    save,
    task_id,
    tell,
)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_a_story_with_a_gap_is_refused(store: MemoryStore) -> None:
    await tell(store, make_task(1), change(0))
    with pytest.raises(StoreFailed, match="goes on with 1, not 2"):
        await tell(store, make_task(1), change(2))


async def test_a_task_under_the_id_of_another_is_refused(store: MemoryStore) -> None:
    with pytest.raises(StoreFailed, match="under the id of another"):
        await store.commit(Batch({task_id(2): make_task(1)}))


async def test_a_search_by_label_lets_others_run(store: MemoryStore) -> None:
    await save(store, *(make_task(n) for n in range(2000)))
    search = asyncio.create_task(store.find(TaskQuery(labels={"no": "such"})))
    await asyncio.sleep(0)
    await save(store, make_task(3000))
    assert not search.done()
    assert (await search).tasks == ()


async def test_a_search_for_what_nobody_has_stops_on_its_way_and_can_be_gone_on_with(store: MemoryStore) -> None:
    await save(store, *(make_task(n) for n in range(10_001)))
    first = await store.find(TaskQuery(labels={"no": "such"}))
    assert (first.tasks, id_of_token(first.next_page_token)) == ((), task_id(1))
    assert await store.find(TaskQuery(labels={"no": "such"}, page_token=first.next_page_token)) == TaskPage(())


async def test_a_search_that_outlives_its_store_says_so(store: MemoryStore) -> None:
    await save(store, *(make_task(n) for n in range(2000)))
    search = asyncio.create_task(store.find(TaskQuery(labels={"no": "such"})))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreFailed):
        await search


async def test_a_key_is_forgotten_a_day_after_it_could_last_be_asked_for(store: MemoryStore) -> None:
    day = 24 * 3600 * 1000
    await save(store, make_task(1, at_ms=500, idempotency_key="old"))
    await save(store, make_task(2, at_ms=500 + 2 * day, idempotency_key="new"))
    assert await find_key(store, "ann", "new", since_ms=501 + day) is not None
    assert await find_key(store, "ann", "old", since_ms=0) is None
    assert await find_key(store, "ann", "new", since_ms=0) is not None


async def test_tasks_that_leave_the_middle_of_a_long_queue_leave_nothing_behind(store: MemoryStore) -> None:
    await save(store, *(make_task(n) for n in range(1000)))
    for n in range(1, 999):
        await claim_task(store, task_id(n))
    backlog = (await store.backlog())[GENERAL]
    assert (backlog.waiting, backlog.oldest_ms) == (2, 1000)
    assert await claim(store) == [task_id(0), task_id(999)]


async def test_a_task_that_is_taken_and_given_back_for_ever_goes_out_once(store: MemoryStore) -> None:
    await save(store, make_task(1), make_task(2))
    for _ in range(500):
        await claim_task(store, task_id(2))
        await save(store, make_task(2))
    assert await claim(store) == [task_id(1), task_id(2)]


async def _cost_of_a_task(store: MemoryStore, first: int, count: int = 2000) -> float:
    """CPU seconds to create, claim and end one task, the quickest of several tries."""
    best = float("inf")
    for start in range(first, first + 5 * count, count):
        tasks = [make_task(n) for n in range(start, start + count)]
        begun = time.process_time()
        for at in range(0, count, 50):
            batch = Batch({task.id: task for task in tasks[at : at + 50]}, asks=[ClaimNext(None, (GENERAL,), 50)])
            await store.commit(batch)
            await save(store, *(moved(task, COMPLETED) for task in tasks[at : at + 50]))
        best = min(best, (time.process_time() - begun) / count)
    return best


async def test_a_task_costs_the_same_however_many_are_stored(store: MemoryStore) -> None:
    gc.collect()
    gc.disable()  # its cost is the process's, and it comes when it likes
    try:
        alone = await _cost_of_a_task(store, 0)
        await save(store, *(make_task(n, COMPLETED if n % 2 else RUNNING) for n in range(20_000, 120_000)))
        crowded = await _cost_of_a_task(store, 200_000)
    finally:
        gc.enable()
    assert crowded < 3 * alone
