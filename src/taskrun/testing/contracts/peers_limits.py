"""Limits that hold for all control planes together."""

from __future__ import annotations

import asyncio

from taskrun.domain.quotas import AccountName, Figures
from taskrun.domain.records import Requirement
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

ANN, BOB, ECHO = AccountName("client", "ann"), AccountName("client", "bob"), AccountName("agent", "general")
OTHER = Requirement("other")

#: Ids of tasks, and the accounts that are full.
Claimed = tuple[list[str], tuple[AccountName, ...]]


async def claim_limited(store: SharedStore, *limits: tuple[AccountName, int], limit: int = 5) -> Claimed:
    """The ids that one `ClaimNext` with these limits gives, and which accounts were full."""
    [claimed] = await claim_all(store, (GENERAL, limit, limits))
    return claimed


async def claim_all(store: SharedStore, *claims: tuple[Requirement, int, Figures]) -> list[Claimed]:
    """The same for each of several in one commit: for whom, how many, under which limits."""
    asks = [ClaimNext(None, (requirement,), limit, limits) for requirement, limit, limits in claims]
    answers = [each for each in await store.commit(Batch(asks=[*asks])) if isinstance(each, TasksClaimed)]
    assert [answer.ask for answer in answers] == asks
    return [([task.id for task in answer.tasks], answer.full) for answer in answers]


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
        await claim_limited(a, (ANN, 3), limit=3)
        await save(a, moved(make_task(0), RUNNING), make_task(2))
        await save(a, moved(make_task(0), COMPLETED))
        assert await claim_limited(b, (ANN, 3)) == (ids(2, 3), (ANN,))

    async def test_a_task_that_rests_does_not_run(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1), make_task(2))
        assert await claim_limited(a, (ANN, 1), limit=1) == (ids(1), ())
        await save(a, make_task(1))
        await claim_task(a, task_id(1))
        assert await claim_limited(b, (ANN, 1)) == (ids(2), (ANN,))

    async def test_claims_of_one_commit_leave_each_other_what_is_left(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(9)))
        assert await claim_all(b, (GENERAL, 2, ((ANN, 3),)), (GENERAL, 2, ((ANN, 3),)), (GENERAL, 2, ((BOB, 3),))) == [
            (ids(0, 1), ()),
            (ids(2), (ANN,)),
            (ids(3, 4), ()),
        ]

    async def test_what_one_claim_of_a_commit_does_not_find_is_there_for_the_next(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await save(a, make_task(0, needs=OTHER), *(make_task(n) for n in range(1, 9)))
        limits = ((ANN, 9), (ECHO, 6))
        assert await claim_all(b, (OTHER, 4, limits), (GENERAL, 4, limits), (GENERAL, 4, limits)) == [
            (ids(0), ()),
            (ids(1, 2, 3, 4), ()),
            (ids(5), (ECHO,)),
        ]

    async def test_what_comes_with_claims_that_all_find_their_account_full_is_stored(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await save(a, make_task(1), make_task(2))
        claims = [ClaimNext(n, (GENERAL,), 1, ((ANN, 0),)) for n in range(2)]
        batch = Batch({task_id(3): make_task(3)}, asks=[*claims])
        assert list(await a.commit(batch)) == [TasksClaimed(claim, (), (ANN,)) for claim in claims]
        assert await b.get(task_id(3)) == make_task(3)

    async def test_many_accounts_are_claimed_for_at_once_each_to_its_limit(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        many = range(20)
        needs = [Requirement(f"agent-{n}") for n in many]
        await save(a, *(make_task(20 * n + m, needs=needs[n]) for n in many for m in range(4)))
        claims = [(needs[n], 3, ((AccountName("agent", needs[n].agent), n % 4),)) for n in many]
        for store in (a, b):
            found = await claim_all(store, *claims)
            room = [n % 4 if store is a else 0 for n in many]
            assert [len(taken) for taken, _ in found] == room
            assert [len(full) for _, full in found] == [each < 3 for each in room]

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
