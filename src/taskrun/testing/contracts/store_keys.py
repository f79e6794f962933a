"""What an idempotency key leads to."""

from __future__ import annotations

from taskrun.ports.store import Batch, FindKey, KeyFound, Store
from taskrun.testing.contracts.store_cases import COMPLETED, find_key, make_task, moved, save


class FindKeyContract:
    """A caller's idempotency key leads to the task that it made."""

    async def test_a_key_leads_to_its_task_as_it_now_is(self, store: Store) -> None:
        task = make_task(1, idempotency_key="k")
        await save(store, task)
        assert await find_key(store, "ann", "k") == task
        await save(store, moved(task, COMPLETED))
        assert await find_key(store, "ann", "k") == moved(task, COMPLETED)

    async def test_an_unknown_key_leads_nowhere(self, store: Store) -> None:
        await save(store, make_task(1, idempotency_key="k"), make_task(2))
        assert await find_key(store, "ann", "other") is None

    async def test_a_key_is_its_callers_own(self, store: Store) -> None:
        await save(store, make_task(1, by="ann", idempotency_key="k"), make_task(2, by="bob", idempotency_key="k"))
        assert await find_key(store, "bob", "k") == make_task(2, by="bob", idempotency_key="k")
        assert await find_key(store, "eve", "k") is None

    async def test_a_key_leads_only_to_a_task_that_is_young_enough(self, store: Store) -> None:
        task = make_task(1, at_ms=500, idempotency_key="k")
        await save(store, task)
        assert await find_key(store, "ann", "k", since_ms=501) is None
        assert await find_key(store, "ann", "k", since_ms=500) == task

    async def test_a_key_that_made_two_tasks_leads_to_the_newest(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=100, idempotency_key="k"))
        await save(store, make_task(2, at_ms=900, idempotency_key="k"))
        assert await find_key(store, "ann", "k", since_ms=50) == make_task(2, at_ms=900, idempotency_key="k")

    async def test_a_key_is_known_in_the_batch_that_brings_it(self, store: Store) -> None:
        task, ask = make_task(1, idempotency_key="k"), FindKey("ann", "k", 0)
        assert list(await store.commit(Batch({task.id: task}, asks=[ask]))) == [KeyFound(ask, task)]
