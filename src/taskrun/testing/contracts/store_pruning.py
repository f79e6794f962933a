"""What every `Store` must do to make room: which finished tasks go, in what order, and what stays."""

from __future__ import annotations

from dataclasses import replace

from taskrun.domain.limits import RETRY_KEY
from taskrun.domain.records import Task, TaskQuery
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Retention, Store
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    RUNNING,
    change,
    claim,
    find_key,
    ids,
    make_task,
    moved,
    output,
    save,
    task_id,
    tell,
)

OLD = Retention(ended_before_ms=500, max_bytes=0, keys_since_ms=0)
NOBODY = Retention(ended_before_ms=0, max_bytes=0, keys_since_ms=0)


def ended(n: int, at_ms: int, status: TaskStatus = COMPLETED, **more: str) -> Task:
    """A task that ended then."""
    return replace(make_task(n, status, **more), finished_at_ms=at_ms)  # type: ignore[arg-type]  # fields of a spec


async def left(store: Store) -> list[str]:
    """The ids that the store still has."""
    return sorted(task.id for task in (await store.find(TaskQuery(limit=1000))).tasks)


class PruneContract:
    """Finished tasks are removed when they are old, or the store too large; nothing else ever is."""

    async def test_an_empty_store_has_nothing_to_remove(self, store: Store) -> None:
        assert dict(await store.prune(OLD, 10)) == {}

    async def test_tasks_that_ended_early_enough_go(self, store: Store) -> None:
        await save(store, ended(3, 100, TaskStatus.FAILED), ended(4, 200), ended(1, 499), ended(2, 500))
        assert dict(await store.prune(OLD, 10)) == {COMPLETED: 2, TaskStatus.FAILED: 1}
        assert await left(store) == ids(2)
        assert dict(await store.prune(OLD, 10)) == {}

    async def test_without_a_time_and_a_size_all_stay(self, store: Store) -> None:
        await save(store, ended(1, 1))
        assert dict(await store.prune(NOBODY, 10)) == {}

    async def test_tasks_that_have_not_ended_stay(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=1), make_task(2, RUNNING, at_ms=1))
        assert dict(await store.prune(replace(OLD, max_bytes=1), 10)) == {}
        assert await store.backlog() == {GENERAL: Backlog(1, 1)}
        assert await claim(store) == ids(1)

    async def test_those_go_first_that_ended_first_and_no_more_than_the_limit(self, store: Store) -> None:
        for n, at_ms in ((1, 100), (4, 200), (2, 300), (3, 400)):
            await save(store, ended(n, at_ms))
        assert dict(await store.prune(OLD, 2)) == {COMPLETED: 2}
        assert await left(store) == ids(2, 3)

    async def test_the_story_and_the_key_go_with_the_task(self, store: Store) -> None:
        await tell(store, ended(1, 100, idempotency_key="k"), change(0), output(1, "a"), change(2, COMPLETED))
        await tell(store, ended(2, 900), change(0))
        await store.prune(replace(OLD, keys_since_ms=10**6), 10)
        assert await store.get(task_id(1)) is None
        assert list(await store.story(task_id(1), 0)) == []
        assert await find_key(store, "ann", "k") is None
        assert list(await store.story(task_id(2), 0)) == [change(0)]
        await tell(store, make_task(1), change(0))
        assert list(await store.story(task_id(1), 0)) == [change(0)]

    async def test_a_key_that_has_made_a_newer_task_is_kept(self, store: Store) -> None:
        await save(store, ended(1, 100, idempotency_key="k"))
        await save(store, make_task(2, idempotency_key="k"))
        await store.prune(replace(OLD, keys_since_ms=10**6), 10)
        assert await find_key(store, "ann", "k") == make_task(2, idempotency_key="k")

    async def test_a_task_whose_key_may_be_asked_for_stays(self, store: Store) -> None:
        kept = replace(ended(1, 100, idempotency_key="k"), created_at_ms=50)
        await save(store, kept, ended(2, 200))
        assert dict(await store.prune(replace(OLD, keys_since_ms=50), 10)) == {COMPLETED: 1}
        assert await find_key(store, "ann", "k") == kept
        assert dict(await store.prune(replace(OLD, keys_since_ms=51), 10)) == {COMPLETED: 1}

    async def test_a_key_for_a_repeated_call_keeps_its_task_for_a_time_of_its_own(self, store: Store) -> None:
        for n, key in ((1, f"{RETRY_KEY}1"), (2, f"my-{RETRY_KEY}2")):
            await save(store, replace(ended(n, 100 * n, idempotency_key=key), created_at_ms=50))
        retries_count = replace(OLD, keys_since_ms=51, retries_since_ms=50)
        assert dict(await store.prune(retries_count, 10)) == {COMPLETED: 1}
        assert await left(store) == ids(1)
        await save(store, replace(ended(2, 200, idempotency_key=f"my-{RETRY_KEY}2"), created_at_ms=50))
        assert dict(await store.prune(replace(OLD, keys_since_ms=50, retries_since_ms=51), 10)) == {COMPLETED: 1}
        assert await left(store) == ids(2)

    async def test_a_store_that_is_too_large_removes_the_oldest_until_it_is_not(self, store: Store) -> None:
        for n in range(20):
            task = make_task(n, RUNNING)
            await tell(store, task, *(output(seq, "x" * 50_000) for seq in range(20)))
            await save(store, replace(moved(task, COMPLETED), finished_at_ms=1000 + n))
        retention = replace(NOBODY, max_bytes=10_000_000)
        removed = 0
        while gone := await store.prune(retention, 3):
            assert sum(gone.values()) <= 3
            removed += sum(gone.values())
        assert 9 <= removed <= 13
        assert await left(store) == ids(*range(removed, 20))

    async def test_what_was_removed_is_no_longer_counted(self, store: Store) -> None:
        await save(store, ended(1, 100), ended(2, 600), make_task(3))
        await store.prune(OLD, 10)
        counts = (await store.recover()).counts
        assert {status: count for status, count in counts.items() if count} == {COMPLETED: 1, TaskStatus.PENDING: 1}
