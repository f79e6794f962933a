"""Limits on how many run at once that come when tasks run already, at all control planes."""

from __future__ import annotations

from taskrun.domain.quotas import AccountName
from taskrun.ports.store import Batch, ClaimNext, TasksClaimed
from taskrun.testing.contracts.peers_beginning import late
from taskrun.testing.contracts.peers_cases import SharedStore
from taskrun.testing.contracts.peers_limits import ANN, ECHO, claim_limited
from taskrun.testing.contracts.store_cases import COMPLETED, GENERAL, RUNNING, ids, make_task, moved, save, task_id


async def count(store: SharedStore, *numbers: int, accounts: tuple[AccountName, ...] = (ANN,)) -> None:
    """These tasks count from now on, wherever they began."""
    await store.commit(Batch(counted=dict.fromkeys(map(task_id, numbers), accounts)))


class CountedContract:
    """What began where no limit counted it takes room as all else does, from when its control plane says so."""

    async def test_what_runs_at_both_takes_room_and_makes_it_at_its_end(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING), *(make_task(n) for n in range(5, 9)))
        await save(b, make_task(2, RUNNING))
        await count(a, 1)
        await count(b, 2)
        assert await claim_limited(a, (ANN, 2)) == ([], (ANN,))
        assert await late(b, ((ANN, 2),), 3) == ids(3)
        await save(a, moved(make_task(1, RUNNING), COMPLETED))
        assert await claim_limited(a, (ANN, 2)) == (ids(5), (ANN,))

    async def test_a_bound_that_was_believed_before_is_not_after(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n, RUNNING) for n in range(3)), *(make_task(n) for n in range(5, 9)))
        assert await claim_limited(b, (ANN, 4), limit=1) == (ids(5), ())
        await count(a, 0, 1, 2)
        assert await claim_limited(b, (ANN, 4)) == ([], (ANN,))

    async def test_it_counts_in_each_of_its_accounts(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING), *(make_task(n) for n in range(5, 9)))
        await count(a, 1, accounts=(ANN, ECHO))
        assert await claim_limited(b, (ANN, 9), (ECHO, 1)) == ([], (ECHO,))
        assert await claim_limited(b, (ANN, 2)) == (ids(5), (ANN,))

    async def test_what_is_counted_twice_is_one(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(5)))
        assert await claim_limited(a, (ANN, 3), limit=1) == (ids(0), ())
        await count(a, 0)
        await count(b, 0)
        assert await claim_limited(b, (ANN, 3)) == (ids(1, 2), (ANN,))

    async def test_what_has_ended_or_is_unknown_takes_no_room(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING), *(make_task(n) for n in range(5, 9)))
        await save(a, moved(make_task(1, RUNNING), COMPLETED))
        await count(b, 1, 2)
        assert await claim_limited(b, (ANN, 2)) == (ids(5, 6), (ANN,))

    async def test_it_counts_before_what_is_claimed_with_it(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING), *(make_task(n) for n in range(5, 9)))
        claim = ClaimNext(None, (GENERAL,), 5, ((ANN, 2),))
        batch = Batch(asks=[claim], counted={task_id(1): (ANN,)})
        assert list(await b.commit(batch)) == [TasksClaimed(claim, (make_task(5),), (ANN,))]

    async def test_what_was_disowned_is_counted_by_whoever_has_it(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING), *(make_task(n) for n in range(5, 9)))
        mine = make_task(1, RUNNING)
        await b.commit(Batch({mine.id: mine}, counted={mine.id: (ANN,)}))
        assert await claim_limited(b, (ANN, 1)) == (ids(5), (ANN,))

    async def test_thousands_count_at_once(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n, RUNNING) for n in range(3000)), *(make_task(n) for n in range(5000, 5004)))
        await count(a, *range(3000))
        assert await claim_limited(b, (ANN, 3002)) == (ids(5000, 5001), (ANN,))
