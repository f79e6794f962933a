"""New tasks that run as they are stored, under limits on how many run at once that hold for all control planes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from taskrun.domain.errors import Overbooked
from taskrun.domain.quotas import Figures
from taskrun.domain.records import Task
from taskrun.ports.store import Answer, Ask, Batch, ClaimNext, Disowned, TasksClaimed
from taskrun.testing.contracts.peers_cases import SharedStore
from taskrun.testing.contracts.peers_limits import ANN, BOB, ECHO, claim_limited
from taskrun.testing.contracts.store_cases import COMPLETED, GENERAL, RUNNING, change, ids, make_task, moved, save


async def begin(
    store: SharedStore, figures: Figures, *numbers: int, asks: Sequence[Ask] = (), ended: Sequence[Task] = ()
) -> Sequence[Answer]:
    """What the commit answers that has these new tasks run under these limits."""
    tasks = [make_task(number, RUNNING) for number in numbers]
    return await store.commit(
        Batch(
            {task.id: task for task in [*ended, *tasks]},
            {task.id: [change(0)] for task in tasks},
            list(asks),
            running=dict.fromkeys((task.id for task in tasks), figures),
        )
    )


async def late(store: SharedStore, figures: Figures, *numbers: int) -> list[str]:
    """Which of these are too many; then nothing of them is stored."""
    with pytest.raises(Overbooked) as overbooked:
        await begin(store, figures, *numbers)
    assert [await store.get(task_id) for task_id in ids(*numbers)] == [None] * len(numbers)
    return list(overbooked.value.task_ids)


class BeginningLimitContract:
    """No new task begins where as many run as may, and none is refused while there is room."""

    async def test_what_runs_at_all_of_them_is_counted_and_who_came_first_is_let_in(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await begin(a, ((ANN, 3),), 1, 2)
        assert await late(b, ((ANN, 3),), 3, 4, 5) == ids(4, 5)
        await begin(b, ((ANN, 3),), 3)
        assert await late(a, ((ANN, 2),), 4) == ids(4)
        await begin(a, ((ANN, 4),), 4)

    async def test_a_task_begins_only_where_each_of_its_accounts_has_room(self, a: SharedStore, b: SharedStore) -> None:
        await begin(a, ((ANN, 2), (ECHO, 2)), 1)
        await begin(b, ((BOB, 2), (ECHO, 2)), 2)
        assert await late(a, ((ANN, 2), (ECHO, 2)), 3) == ids(3)
        # What is refused for one account takes no room in another.
        await begin(b, ((ANN, 2),), 4)

    async def test_what_was_claimed_and_what_has_begun_take_each_others_room(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await save(a, *(make_task(n) for n in range(5)))
        assert await claim_limited(a, (ANN, 3), limit=2) == (ids(0, 1), ())
        assert await late(b, ((ANN, 3),), 6, 7) == ids(7)
        await begin(b, ((ANN, 3),), 6)
        assert await claim_limited(a, (ANN, 4)) == (ids(2), (ANN,))

    async def test_what_ends_makes_room_in_the_commit_that_says_so(self, a: SharedStore, b: SharedStore) -> None:
        await begin(a, ((ANN, 1),), 1)
        await begin(a, ((ANN, 1),), 2, ended=[moved(make_task(1), COMPLETED)])
        assert await late(b, ((ANN, 1),), 3) == ids(3)
        await save(a, moved(make_task(2), COMPLETED))
        await begin(b, ((ANN, 1),), 3)

    async def test_new_tasks_go_before_the_claims_of_their_commit(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(5)))
        claims = [ClaimNext(None, (GENERAL,), 2, ((account, 3),)) for account in (ANN, BOB)]
        ann, bob = await begin(b, ((ANN, 3),), 6, 7, asks=claims)
        assert isinstance(ann, TasksClaimed)
        assert isinstance(bob, TasksClaimed)
        assert ([task.id for task in ann.tasks], ann.full) == (ids(0), (ANN,))
        assert ([task.id for task in bob.tasks], bob.full) == (ids(1, 2), ())

    async def test_what_is_stored_as_another_control_planes_takes_no_room(self, a: SharedStore, b: SharedStore) -> None:
        theirs, ours = make_task(1, idempotency_key="k"), make_task(2, RUNNING, idempotency_key="k")
        await save(a, theirs)
        batch = Batch({ours.id: ours}, {ours.id: [change(0)]}, running={ours.id: ((ANN, 0),)})
        assert list(await b.commit(batch)) == [Disowned((ours.id,))]

    async def test_a_batch_that_is_refused_leaves_nothing_behind(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1))
        claim = ClaimNext(None, (GENERAL,), 1, ((ANN, 1),))
        with pytest.raises(Overbooked):
            await begin(a, ((BOB, 0),), 2, asks=[claim], ended=[make_task(3)])
        assert await b.get(make_task(3).id) is None
        assert await claim_limited(b, (ANN, 1), limit=1) == (ids(1), ())

    async def test_those_of_both_at_the_same_time_keep_to_it(self, a: SharedStore, b: SharedStore) -> None:
        async def begun(store: SharedStore, number: int) -> bool:
            try:
                await begin(store, ((ANN, 5), (ECHO, 7)), number)
            except Overbooked:
                return False
            return True

        found = await asyncio.gather(*(begun((a, b)[n % 2], n) for n in range(20)))
        assert sum(found) == 5
