"""What belongs to one of several control planes: tasks, runs, keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.domain.limits import KEY_LIFE_MS
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Batch, ClaimRuns, Disowned, RunsClaimed
from taskrun.testing.contracts.peers_cases import SharedStore, claim_runs, inherit, of_worker
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    RUNNING,
    change,
    claim,
    claim_task,
    find_key,
    ids,
    make_task,
    moved,
    save,
    task_id,
    tell,
)


class OwnershipOfSeveralContract:
    """What one has nobody else changes, until it comes with its worker or is lost with its owner."""

    async def test_what_one_stores_the_other_reads(self, a: SharedStore, b: SharedStore) -> None:
        await tell(a, make_task(1, idempotency_key="k"), change(0))
        assert await b.get(task_id(1)) == make_task(1, idempotency_key="k")
        assert list(await b.story(task_id(1), 0)) == [change(0)]
        assert await find_key(b, "ann", "k") == make_task(1, idempotency_key="k")
        assert await b.backlog() == {GENERAL: Backlog(1, 1001)}

    async def test_a_meeting_tells_how_many_wait_and_until_when_one_may(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1), replace(make_task(2), expires_at_ms=77), make_task(3, RUNNING))
        meeting = await b.peers.meet([])
        assert (meeting.others, dict(meeting.waiting), meeting.expires_at_ms) == (True, {GENERAL: 2}, 77)

    async def test_a_task_that_waits_goes_to_the_one_that_claims_it_first(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, *(make_task(n) for n in range(4)))
        assert await claim(b, limit=3) == ids(0, 1, 2)
        assert await claim(a) == ids(3)
        assert not (await claim_task(a, task_id(0))).owned
        assert await a.backlog() == {}

    async def test_a_place_in_the_queue_is_one_among_the_tasks_of_all(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1), make_task(3))
        await save(b, make_task(2), make_task(4))
        assert await claim(a, limit=1) == ids(1)
        assert [await b.ahead(each, 10) for each in ids(1, 2, 3, 4)] == [None, 0, 1, 2]

    async def test_what_a_control_plane_had_that_is_gone_another_inherits_at_once(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await save(a, make_task(1), make_task(2), make_task(3, RUNNING))
        assert await claim(a, limit=1) == ids(1)
        await a.close()
        assert list(await inherit(b)) == [make_task(3, RUNNING)]
        assert list(await inherit(b)) == []
        assert await b.backlog() == {GENERAL: Backlog(2, 1001)}
        assert await claim(b) == ids(1, 2)
        await save(b, moved(make_task(3), COMPLETED))

    async def test_a_worker_brings_its_runs_to_another_control_plane(self, a: SharedStore, b: SharedStore) -> None:
        first, second = make_task(1, RUNNING), of_worker("worker-2", make_task(2, RUNNING))
        await save(a, first, second, of_worker("worker-2", make_task(3, COMPLETED)))
        assert await claim_runs(b, "another") == ()
        asks = [ClaimRuns(None, "worker-2")]
        assert list(await b.commit(Batch(asks=[*asks]))) == [RunsClaimed(asks[0], (second,))]
        assert list(await b.commit(Batch(asks=[*asks]))) == [RunsClaimed(asks[0], (second,), frozenset({second.id}))]
        await save(b, moved(second, COMPLETED))
        await save(a, moved(first, COMPLETED))

    async def test_what_was_inherited_a_worker_brings_as_well(self, a: SharedStore, b: SharedStore) -> None:
        task = make_task(1, RUNNING)
        await save(a, task)
        await a.close()
        assert list(await inherit(b)) == [task]
        ask = ClaimRuns(None, "worker-1")
        assert list(await b.commit(Batch(asks=[ask]))) == [RunsClaimed(ask, (task,), frozenset({task.id}))]

    async def test_what_another_has_is_left_out_of_a_batch_and_named(self, a: SharedStore, b: SharedStore) -> None:
        tasks = {n: of_worker(f"worker-{n}", make_task(n, RUNNING)) for n in (1, 2)}
        for task in tasks.values():
            await tell(a, task, change(0))
        await claim_runs(b)
        ended = {task.id: moved(task, COMPLETED) for task in tasks.values()}
        stories = {each: [change(1, COMPLETED)] for each in ended}
        answers = await a.commit(Batch(ended, stories, [ClaimRuns(None, "nobody")]))
        assert answers[1:] == [Disowned((task_id(1),))]
        assert await b.get(task_id(1)) == tasks[1]
        assert list(await b.story(task_id(1), 0)) == [change(0)]
        assert await b.get(task_id(2)) == ended[task_id(2)]
        assert list(await b.story(task_id(2), 0)) == [change(0), change(1, COMPLETED)]

    @pytest.mark.parametrize("status", [COMPLETED, TaskStatus.CANCELLED])
    async def test_what_another_has_ended_stays_ended(self, a: SharedStore, b: SharedStore, status: TaskStatus) -> None:
        await save(a, make_task(1, RUNNING))
        await claim_runs(b)
        await save(b, moved(make_task(1, RUNNING), status))
        assert list(await a.commit(Batch({task_id(1): make_task(1, RUNNING)}))) == [Disowned((task_id(1),))]
        assert await a.get(task_id(1)) == moved(make_task(1, RUNNING), status)

    async def test_who_begins_again_has_what_it_had(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1), make_task(2), make_task(3, RUNNING))
        assert await claim(a, limit=1) == ids(1)
        assert (await a.recover()).active == (make_task(3, RUNNING),)
        assert list(await inherit(b)) == []
        assert await claim(b) == ids(1, 2)
        await save(a, moved(make_task(3), COMPLETED))


class KeysOfSeveralContract:
    """A key makes one task wherever it is used."""

    async def test_of_two_that_make_a_task_with_one_key_the_first_has_it(self, a: SharedStore, b: SharedStore) -> None:
        first, second = make_task(1, idempotency_key="k"), make_task(2, idempotency_key="k")
        assert await find_key(a, "ann", "k") is await find_key(b, "ann", "k") is None
        await tell(a, first, change(0))
        both = Batch({second.id: second, task_id(3): make_task(3)}, {second.id: [change(0)]})
        assert list(await b.commit(both)) == [Disowned((second.id,))]
        assert (await a.get(second.id), await a.get(task_id(3))) == (None, make_task(3))
        assert await find_key(b, "ann", "k") == first

    async def test_a_key_that_is_no_longer_remembered_makes_another_task(self, a: SharedStore, b: SharedStore) -> None:
        later = KEY_LIFE_MS + 5
        await save(a, make_task(1, at_ms=1, idempotency_key="k"))
        await save(b, make_task(2, at_ms=later, idempotency_key="k"))
        assert await find_key(a, "ann", "k", since_ms=5) == make_task(2, at_ms=later, idempotency_key="k")
