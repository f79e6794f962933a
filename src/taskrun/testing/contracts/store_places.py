"""What can be known of the queue: how many wait, since when, and how many go before."""

from __future__ import annotations

from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Store
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    ON_GPU,
    RUNNING,
    TRIAGE,
    claim,
    claim_expired,
    claim_task,
    ids,
    make_task,
    moved,
    requeued,
    save,
    task_id,
)


class BacklogContract:
    """What waits is known by requirement."""

    async def test_nothing_waits_in_an_empty_store(self, store: Store) -> None:
        assert dict(await store.backlog()) == {}

    async def test_what_waits_is_counted_by_requirement(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3, needs=ON_GPU), make_task(4, RUNNING, needs=TRIAGE))
        assert dict(await store.backlog()) == {GENERAL: Backlog(2, 1001), ON_GPU: Backlog(1, 1003)}

    async def test_what_was_taken_does_not_wait(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3), make_task(4, needs=TRIAGE))
        await claim(store, limit=1)
        await claim_task(store, task_id(4))
        await save(store, moved(make_task(2), RUNNING))
        assert dict(await store.backlog()) == {GENERAL: Backlog(1, 1003)}

    async def test_the_oldest_is_the_one_that_waits_longest_whatever_its_priority(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=700), make_task(2, at_ms=500, priority=-1), make_task(3, at_ms=600))
        assert await store.backlog() == {GENERAL: Backlog(3, 500)}
        await claim_task(store, task_id(2))
        assert await store.backlog() == {GENERAL: Backlog(2, 600)}

    async def test_a_task_that_ran_waits_since_its_run_ended(self, store: Store) -> None:
        await save(store, make_task(1, RUNNING, at_ms=100), make_task(2, at_ms=800))
        await save(store, requeued(make_task(1, RUNNING, at_ms=100), at_ms=900))
        assert await store.backlog() == {GENERAL: Backlog(2, 800)}
        await claim_task(store, task_id(2))
        assert await store.backlog() == {GENERAL: Backlog(1, 900)}

    async def test_what_a_task_waited_before_its_run_does_not_count(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=100), make_task(2, at_ms=200), make_task(3, at_ms=500))
        await claim_task(store, task_id(2))
        await save(store, requeued(make_task(2, at_ms=200), at_ms=900))
        await claim_task(store, task_id(1))
        assert await store.backlog() == {GENERAL: Backlog(2, 500)}

    async def test_a_task_given_back_waits_as_long_as_before(self, store: Store) -> None:
        await save(store, make_task(1, at_ms=100), make_task(2, at_ms=200))
        await claim(store, limit=1)
        await save(store, make_task(1, at_ms=100))
        assert await store.backlog() == {GENERAL: Backlog(2, 100)}


class AheadContract:
    """A task's place in the queue is known by how many go before it."""

    async def test_nobody_goes_before_the_only_one(self, store: Store) -> None:
        await save(store, make_task(1))
        assert await store.ahead(task_id(1), 10) == 0

    async def test_who_is_older_or_more_urgent_goes_before(self, store: Store) -> None:
        await save(store, make_task(1, priority=-5), make_task(2), make_task(3, priority=7), make_task(4))
        assert [await store.ahead(each, 10) for each in ids(3, 2, 4, 1)] == [0, 1, 2, 3]

    async def test_who_needs_something_else_is_not_counted(self, store: Store) -> None:
        await save(store, make_task(1, needs=ON_GPU), make_task(2, needs=TRIAGE), make_task(3), make_task(4))
        assert await store.ahead(task_id(4), 10) == 1

    async def test_no_more_are_counted_than_was_asked_for(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(9)))
        assert [await store.ahead(task_id(8), most) for most in (0, 3, 8, 9)] == [0, 3, 8, 8]

    async def test_who_was_taken_out_of_the_queue_is_not_counted_and_has_no_place(self, store: Store) -> None:
        await save(store, *(make_task(n, until_ms=100 if n == 2 else 0) for n in range(6)), make_task(6, RUNNING))
        await claim(store, limit=1)
        await claim_task(store, task_id(1))
        await claim_expired(store, 100)
        await save(store, moved(make_task(3), TaskStatus.CANCELLED))
        assert await store.ahead(task_id(5), 10) == 1
        assert [await store.ahead(each, 10) for each in ids(0, 1, 2, 3, 6)] == [None] * 5

    async def test_a_task_given_back_has_its_old_place(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3))
        await claim(store, limit=2)
        await save(store, make_task(1), make_task(2))
        assert [await store.ahead(each, 10) for each in ids(1, 2, 3)] == [0, 1, 2]

    async def test_an_unknown_task_has_no_place(self, store: Store) -> None:
        await save(store, make_task(1))
        assert await store.ahead(task_id(2), 10) is None
        assert await store.ahead("\0", 10) is None

    async def test_places_are_the_order_of_going_out(self, store: Store) -> None:
        await save(store, *(make_task(n, priority=n * 7 % 5) for n in range(60)))
        for n in range(0, 60, 3):
            await claim_task(store, task_id(n))
        await save(store, *(make_task(n, priority=n * 7 % 5) for n in range(0, 60, 6)))
        places = {each: await store.ahead(each, 100) for each in ids(*range(60))}
        order = await claim(store)
        assert [places[each] for each in order] == list(range(len(order)))
