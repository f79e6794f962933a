"""Room in an account that is full goes round between the control planes that wait for it, one task each."""

from __future__ import annotations

import asyncio

from taskrun.domain.quotas import AccountName, Figures
from taskrun.ports.store import Batch, ClaimNext, TasksClaimed
from taskrun.testing.contracts.peers_beginning import begin, late
from taskrun.testing.contracts.peers_cases import Ear, SharedStore
from taskrun.testing.contracts.peers_limits import ANN, BOB, ECHO, OTHER, Claimed, claim_limited
from taskrun.testing.contracts.store_cases import COMPLETED, GENERAL, RUNNING, ids, make_task, moved, save, task_id

ONE = (ANN, 1)
NOTHING: Claimed = ([], (ANN,))


async def fill(store: SharedStore, *limits: tuple[AccountName, int]) -> None:
    """Task 0 begins at this one, by default in an account that has room for no other, and 1 to 8 wait."""
    await save(store, *(make_task(n) for n in range(9)))
    assert (await claim_limited(store, *(limits or (ONE,)), limit=1))[0] == ids(0)


async def end(store: SharedStore, *numbers: int) -> None:
    """These have run."""
    await save(store, *(moved(make_task(n), RUNNING) for n in numbers))
    await save(store, *(moved(make_task(n), COMPLETED) for n in numbers))


class TurnsContract:
    """Who waits for room gets it before those that came later, whoever made it and whoever is the first to ask."""

    async def test_who_made_room_leaves_it_to_who_waited_for_it(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a)
        assert await claim_limited(b, ONE, limit=1) == NOTHING
        await end(a, 0)
        assert await claim_limited(a, ONE, limit=1) == NOTHING
        assert await claim_limited(b, ONE, limit=1) == (ids(1), ())
        await end(b, 1)
        assert await claim_limited(b, ONE, limit=1) == NOTHING
        assert await claim_limited(a, ONE, limit=1) == (ids(2), ())

    async def test_who_asks_again_and_again_keeps_its_place(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a)
        for store in (b, a, b, a, b):
            assert await claim_limited(store, ONE, limit=1) == NOTHING
        await end(a, 0)
        assert await claim_limited(a, ONE, limit=1) == NOTHING
        assert await claim_limited(b, ONE, limit=1) == (ids(1), ())

    async def test_who_got_some_of_what_it_wants_is_behind_the_others(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a, (ANN, 3))
        assert await claim_limited(b, (ANN, 3)) == (ids(1, 2), (ANN,))
        assert await claim_limited(a, (ANN, 3)) == NOTHING
        await end(a, 0)
        assert await claim_limited(a, (ANN, 3)) == NOTHING
        assert await claim_limited(b, (ANN, 3)) == (ids(3), (ANN,))
        await end(b, 1)
        assert await claim_limited(b, (ANN, 3)) == NOTHING
        assert await claim_limited(a, (ANN, 3)) == (ids(4), (ANN,))

    async def test_room_for_several_is_shared_whoever_asks_first(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a, (ANN, 5))
        await claim_limited(b, (ANN, 5))
        await end(a, 0)
        await end(b, 1, 2, 3, 4)
        # Turns would go to b, a, b, a and b.
        assert await claim_limited(a, (ANN, 5), limit=4) == (ids(5, 6), (ANN,))
        assert len((await claim_limited(b, (ANN, 5), limit=4))[0]) == 2
        await save(a, *(make_task(n) for n in range(20, 25)))
        assert len((await claim_limited(a, (ANN, 5), limit=4))[0]) == 1
        assert await claim_limited(b, (ANN, 5), limit=4) == NOTHING

    async def test_who_got_all_that_it_wants_waits_no_more(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a, (ANN, 2))
        assert await claim_limited(b, (ANN, 2), limit=2) == (ids(1), (ANN,))
        await end(b, 1)
        assert await claim_limited(b, (ANN, 2), limit=1) == (ids(2), ())
        await end(a, 0)
        assert await claim_limited(a, (ANN, 2), limit=1) == (ids(3), ())

    async def test_who_finds_nobody_to_claim_for_waits_no_more(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a)
        await save(a, make_task(9, needs=OTHER))
        [answer] = await b.commit(Batch(asks=[ClaimNext(None, (OTHER,), 2, (ONE,))]))
        assert isinstance(answer, TasksClaimed)
        assert answer.full == (ANN,)
        await end(a, 0)
        await save(a, moved(make_task(9, needs=OTHER), COMPLETED))
        assert await claim_limited(a, ONE, limit=1) == NOTHING
        [answer] = await b.commit(Batch(asks=[ClaimNext(None, (OTHER,), 2, (ONE,))]))
        assert answer == TasksClaimed(ClaimNext(None, (OTHER,), 2, (ONE,)), ())
        assert await claim_limited(a, ONE, limit=1) == (ids(1), ())

    async def test_who_is_held_by_another_account_keeps_no_room_in_this(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a, (BOB, 1), (ECHO, 2))
        assert await claim_limited(b, (BOB, 1), (ECHO, 2)) == ([], (BOB, ECHO))
        assert await claim_limited(a, (ANN, 9), (ECHO, 2), limit=1) == (ids(1), ())

    async def test_a_new_task_does_not_begin_in_room_that_others_wait_for(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a)
        await claim_limited(b, ONE, limit=1)
        await end(a, 0)
        assert await late(a, (ONE,), 20) == ids(20)
        assert await claim_limited(b, ONE, limit=1) == (ids(1), ())
        await end(b, 1)
        await begin(a, (ONE,), 20)

    async def test_nobody_waits_for_who_is_gone(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a, (ANN, 2))
        await claim_limited(a, (ANN, 2), limit=1)
        await claim_limited(b, (ANN, 2), limit=1)
        await end(a, 0)
        assert await claim_limited(a, (ANN, 2), limit=1) == NOTHING
        await b.close()
        await a.peers.meet([])
        assert await claim_limited(a, (ANN, 2), limit=1) == (ids(2), ())

    async def test_a_control_plane_that_begins_again_does_not_wait_for_itself(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await fill(a)
        await claim_limited(b, ONE, limit=1)
        await end(a, 0)
        await b.recover()
        assert await claim_limited(b, ONE, limit=1) == (ids(1), ())

    async def test_room_that_is_not_used_is_given_up_after_a_second(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a)
        await claim_limited(b, ONE, limit=1)
        await end(a, 0)
        async with asyncio.timeout(10):
            while await claim_limited(a, ONE, limit=1) != (ids(1), ()):
                pass

    async def test_the_others_are_told_of_room_that_nobody_uses(self, a: SharedStore, b: SharedStore) -> None:
        await fill(a)
        await claim_limited(b, ONE, limit=1)
        await claim_limited(a, ONE, limit=1)
        await a.peers.meet([])
        await b.peers.meet([])
        await end(a, 0)
        ear = Ear(a)
        await ear.next()
        limits: Figures = ((ANN, 1), (BOB, 0))
        [answer] = await b.commit(Batch(asks=[ClaimNext(None, (GENERAL,), 1, limits)]))
        assert answer == TasksClaimed(ClaimNext(None, (GENERAL,), 1, limits), (), (BOB,))
        while not (await ear.next()).room:
            pass
        await ear.close()
        assert await claim_limited(a, ONE, limit=1) == (ids(1), ())

    async def test_those_of_both_at_the_same_time_keep_to_the_limit(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(40)))
        running, peak = set[str](), 0
        for _ in range(5):
            claims = [claim_limited(store, (ANN, 3), (ECHO, 4), limit=2) for store in (a, b) * 4]
            running.update(*(taken for taken, _ in await asyncio.gather(*claims)))
            peak = max(peak, len(running))
            for number in [n for n in range(40) if task_id(n) in running]:
                await end((a, b)[number % 2], number)
            running.clear()
        assert peak == 3
