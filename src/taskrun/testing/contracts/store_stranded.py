"""How follow-ups leave the queue whose one worker is gone."""

from __future__ import annotations

from taskrun.domain.records import WORKER_LABEL, Continuation, Requirement, Task
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Batch, ClaimNext, ClaimStranded, Store, StrandedClaimed, TasksClaimed
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    RUNNING,
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

_WITH_SESSION = Continuation("task-0", "session")


def _at(worker_id: str, agent: str = "general") -> Requirement:
    return Requirement(agent, ((WORKER_LABEL, worker_id),))


def _follow_up(n: int, worker_id: str = "w1", status: TaskStatus = TaskStatus.PENDING, until_ms: int = 0) -> Task:
    return make_task(n, status, needs=_at(worker_id), until_ms=until_ms, continues=_WITH_SESSION)


async def _stranded(store: Store, worker_id: str = "w1", limit: int = 100) -> list[str]:
    ask = ClaimStranded(worker_id, limit)
    [answer] = await store.commit(Batch(asks=[ask]))
    assert isinstance(answer, StrandedClaimed)
    assert answer.ask == ask
    return [task.id for task in answer.tasks]


class ClaimStrandedContract:
    """Who goes on with a session is found by the worker that has it."""

    async def test_nobody_is_stranded_in_an_empty_store(self, store: Store) -> None:
        assert await _stranded(store) == []

    async def test_a_follow_up_comes_as_it_was_saved(self, store: Store) -> None:
        task, ask = _follow_up(1, until_ms=5000), ClaimStranded("w1", 1)
        await save(store, task)
        assert list(await store.commit(Batch(asks=[ask]))) == [StrandedClaimed(ask, (task,))]

    async def test_only_those_of_this_worker_are_stranded_whatever_their_agent(self, store: Store) -> None:
        other = make_task(3, needs=_at("w1", "triage"), continues=_WITH_SESSION)
        await save(store, _follow_up(1), _follow_up(2, "w2"), other)
        assert await _stranded(store) == ids(1, 3)
        assert await _stranded(store) == []
        assert await claim(store, _at("w1"), _at("w2")) == ids(2)

    async def test_who_only_asks_for_the_worker_is_not_stranded(self, store: Store) -> None:
        await save(store, make_task(1, needs=_at("w1")), make_task(2))
        assert await _stranded(store) == []
        assert await claim(store, GENERAL, _at("w1")) == ids(1, 2)

    async def test_the_oldest_go_first_however_urgent_others_are(self, store: Store) -> None:
        urgent = make_task(3, needs=_at("w1"), priority=9, continues=_WITH_SESSION)
        await save(store, urgent, _follow_up(2), _follow_up(1))
        assert await _stranded(store, limit=2) == ids(1, 2)
        assert await _stranded(store, limit=2) == ids(3)

    async def test_who_is_not_in_the_queue_is_not_stranded(self, store: Store) -> None:
        await save(store, _follow_up(1), _follow_up(2), _follow_up(3, status=RUNNING), _follow_up(4), _follow_up(5))
        await save(store, moved(_follow_up(5), TaskStatus.CANCELLED))
        assert await claim(store, _at("w1"), limit=1) == ids(1)
        assert (await claim_task(store, task_id(2))).owned
        assert await _stranded(store) == ids(4)

    async def test_who_was_stranded_is_claimed(self, store: Store) -> None:
        await save(store, _follow_up(1, until_ms=100))
        await _stranded(store)
        assert not (await claim_task(store, task_id(1))).owned
        assert await claim(store, _at("w1")) == []
        assert await claim_expired(store, 100) == ([], 0)
        assert await store.backlog() == {}

    async def test_who_waits_again_can_be_stranded_again(self, store: Store) -> None:
        await save(store, _follow_up(1), _follow_up(2, status=RUNNING))
        await _stranded(store)
        await save(store, _follow_up(1), requeued(_follow_up(2, status=RUNNING), 7000))
        assert await store.backlog() == {_at("w1"): Backlog(2, 1001)}
        assert await _stranded(store) == ids(1, 2)

    async def test_who_was_claimed_and_never_saved_is_stranded_again_after_a_restart(self, store: Store) -> None:
        await save(store, _follow_up(1))
        await _stranded(store)
        await store.recover()
        assert await _stranded(store) == ids(1)

    async def test_of_two_asks_in_one_batch_the_first_has_it(self, store: Store) -> None:
        await save(store, _follow_up(1))
        batch = Batch(asks=[ClaimStranded("w1", 5), ClaimNext("ref", (_at("w1"),), 5)])
        stranded, claimed = await store.commit(batch)
        assert isinstance(stranded, StrandedClaimed)
        assert isinstance(claimed, TasksClaimed)
        assert (len(stranded.tasks), len(claimed.tasks)) == (1, 0)
