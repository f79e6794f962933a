"""How tasks leave the queue that have waited long enough."""

from __future__ import annotations

from dataclasses import replace

from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Batch, ClaimExpired, ClaimNext, ExpiredClaimed, Store, TasksClaimed
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


class ClaimExpiredContract:
    """Who has waited long enough is found by the time until which it may wait."""

    async def test_nobody_has_waited_too_long_in_an_empty_store(self, store: Store) -> None:
        assert await claim_expired(store, 10_000) == ([], 0)
        assert (await store.recover()).expires_at_ms == 0

    async def test_who_may_wait_for_ever_never_expires(self, store: Store) -> None:
        await save(store, make_task(1))
        assert await claim_expired(store, 2**50) == ([], 0)
        assert await claim(store) == ids(1)

    async def test_the_task_comes_as_it_was_saved(self, store: Store) -> None:
        task, ask = make_task(1, until_ms=5000, labels={"team": "blue"}), ClaimExpired(5000, 1)
        await save(store, task)
        assert list(await store.commit(Batch(asks=[ask]))) == [ExpiredClaimed(ask, (task,), 0)]

    async def test_before_its_time_a_task_goes_on_waiting(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=5000))
        assert await claim_expired(store, 4999) == ([], 5000)
        assert await claim(store) == ids(1)

    async def test_the_first_to_expire_goes_first_whatever_it_needs_and_however_urgent_it_is(
        self, store: Store
    ) -> None:
        await save(store, make_task(1, until_ms=300), make_task(2, until_ms=100, needs=ON_GPU, priority=-5))
        await save(store, make_task(3, until_ms=200, priority=9), make_task(4, until_ms=400), make_task(5))
        assert await claim_expired(store, 350, limit=2) == (ids(2, 3), 300)
        assert await claim_expired(store, 350, limit=2) == (ids(1), 400)
        assert await claim(store, GENERAL, ON_GPU) == ids(4, 5)

    async def test_of_those_with_the_same_time_the_oldest_goes_first(self, store: Store) -> None:
        await save(store, make_task(2, until_ms=100, priority=1), make_task(3, until_ms=100, needs=TRIAGE))
        await save(store, make_task(1, until_ms=100))
        assert await claim_expired(store, 100, limit=2) == (ids(1, 2), 100)
        assert await claim_expired(store, 100, limit=2) == (ids(3), 0)

    async def test_nobody_is_taken_by_an_ask_for_none(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100))
        assert await claim_expired(store, 100, limit=0) == ([], 100)

    async def test_who_was_taken_out_of_the_queue_does_not_expire_in_it(self, store: Store) -> None:
        await save(store, *(make_task(n, until_ms=100) for n in range(1, 5)), make_task(5, RUNNING, until_ms=100))
        await claim(store, limit=1)
        await claim_task(store, task_id(2))
        await save(store, moved(make_task(3, until_ms=100), TaskStatus.CANCELLED))
        assert await claim_expired(store, 100) == (ids(4), 0)
        assert await claim_expired(store, 100) == ([], 0)

    async def test_who_has_expired_is_claimed(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100), make_task(2))
        await claim_expired(store, 100)
        assert dict(await store.backlog()) == {GENERAL: Backlog(1, 1002)}
        assert not (await claim_task(store, task_id(1))).owned
        assert await claim(store) == ids(2)

    async def test_who_was_claimed_and_never_saved_expires_again_after_a_restart(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100), make_task(2, until_ms=200))
        await claim_expired(store, 100)
        await claim(store)
        assert (await store.recover()).expires_at_ms == 100
        assert await claim_expired(store, 200) == (ids(1, 2), 0)

    async def test_a_task_given_back_expires_when_it_would_have(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100))
        await claim(store)
        await save(store, make_task(1, until_ms=100))
        assert await claim_expired(store, 99) == ([], 100)
        assert await claim_expired(store, 100) == (ids(1), 0)

    async def test_a_task_that_ran_expires_by_the_time_of_its_next_wait(self, store: Store) -> None:
        await save(store, make_task(1, RUNNING, until_ms=100))
        await save(store, replace(requeued(make_task(1), at_ms=500), expires_at_ms=600))
        assert await claim_expired(store, 599) == ([], 600)
        assert await claim_expired(store, 600) == (ids(1), 0)

    async def test_a_waiting_task_saved_with_another_time_has_that(self, store: Store) -> None:
        await save(store, make_task(1, until_ms=100), make_task(2, until_ms=100))
        await save(store, make_task(1), make_task(2, until_ms=300))
        assert await claim_expired(store, 299) == ([], 300)

    async def test_an_ask_sees_the_tasks_of_its_own_batch_and_what_those_before_it_left(self, store: Store) -> None:
        first, second = make_task(1, until_ms=100), make_task(2, until_ms=100)
        general, expired = ClaimNext(None, (GENERAL,), 1), ClaimExpired(100, 5)
        answers = await store.commit(Batch({first.id: first, second.id: second}, asks=[general, expired, general]))
        assert list(answers) == [
            TasksClaimed(general, (first,)),
            ExpiredClaimed(expired, (second,), 0),
            TasksClaimed(general, ()),
        ]

    async def test_each_of_many_expires_once(self, store: Store) -> None:
        await save(store, *(make_task(n, until_ms=100 + n % 7, needs=(GENERAL, TRIAGE)[n % 2]) for n in range(300)))
        taken: list[str] = []
        while (got := await claim_expired(store, 200, limit=11))[0]:
            taken += got[0]
        assert taken == sorted(ids(*range(300)), key=lambda each: (int(each[-3:], 16) % 7, each))
