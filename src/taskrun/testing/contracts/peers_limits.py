"""Limits that hold for all control planes together."""

from __future__ import annotations

import asyncio

from taskrun.domain.quotas import AccountName
from taskrun.ports.store import Batch, ClaimNext, TasksClaimed
from taskrun.testing.contracts.peers_cases import Ear, SharedStore
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    RUNNING,
    claim_task,
    ids,
    make_task,
    moved,
    save,
    task_id,
)

ANN, ECHO = AccountName("client", "ann"), AccountName("agent", "general")


async def claim_limited(
    store: SharedStore, *limits: tuple[AccountName, int], limit: int = 5
) -> tuple[list[str], tuple[AccountName, ...]]:
    """The ids that one `ClaimNext` with these limits gives, and which accounts were full."""
    [answer] = await store.commit(Batch(asks=[ClaimNext(None, (GENERAL,), limit, limits)]))
    assert isinstance(answer, TasksClaimed)
    return [task.id for task in answer.tasks], answer.full


class RunningLimitContract:
    """A limit on how many run at once holds for all of them together."""

    async def test_no_more_are_claimed_than_a_limit_allows_all_of_them(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(9)))
        assert await claim_limited(a, (ANN, 3), limit=2) == (ids(0, 1), ())
        assert await claim_limited(b, (ANN, 3), limit=2) == (ids(2), (ANN,))
        assert await claim_limited(a, (ANN, 3)) == ([], (ANN,))
        assert await claim_limited(b, (ANN, 4)) == (ids(3), (ANN,))

    async def test_the_fullest_account_decides_and_is_named(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(9)))
        assert await claim_limited(a, (ANN, 9), (ECHO, 2)) == (ids(0, 1), (ECHO,))
        assert await claim_limited(b, (ANN, 9)) == (ids(2, 3, 4, 5, 6), ())

    async def test_an_empty_queue_is_told_from_a_full_account(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1))
        assert await claim_limited(b, (ANN, 9)) == (ids(1), ())

    async def test_whoever_no_longer_runs_makes_room_for_both(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(9)))
        await claim_limited(a, (ANN, 3))
        await save(a, moved(make_task(0), RUNNING), make_task(2))
        await save(a, moved(make_task(0), COMPLETED))
        assert await claim_limited(b, (ANN, 3)) == (ids(2, 3), (ANN,))

    async def test_a_task_that_rests_does_not_run(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1), make_task(2))
        assert (await claim_limited(a, (ANN, 1)))[0] == ids(1)
        await save(a, make_task(1))
        await claim_task(a, task_id(1))
        assert await claim_limited(b, (ANN, 1)) == (ids(2), (ANN,))

    async def test_claims_of_both_at_the_same_time_keep_to_it(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(40)))
        claims = [claim_limited(store, (ANN, 10), (ECHO, 12), limit=3) for store in (a, b) * 5]
        taken = [each for found, _ in await asyncio.gather(*claims) for each in found]
        assert sorted(taken) == ids(*range(10))

    async def test_the_others_are_told_that_there_is_room(self, a: SharedStore, b: SharedStore) -> None:
        await a.peers.meet([])
        await b.peers.meet([])
        ear = Ear(b)
        await ear.next()
        await save(a, make_task(1))
        await claim_limited(a, (ANN, 1))
        await save(a, moved(make_task(1), RUNNING))
        await save(a, moved(make_task(1), COMPLETED))
        while not (await ear.next()).room:
            pass
        await ear.close()
