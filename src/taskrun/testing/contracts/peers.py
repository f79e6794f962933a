"""The contract of `Peers`, and of a `Store` that several control planes share.

A binding gives the fixtures `a` and `b`: two of them, both recovered, `a` first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import pytest

from taskrun.domain.errors import Overruled
from taskrun.domain.limits import KEY_LIFE_MS
from taskrun.domain.quotas import AccountName
from taskrun.domain.records import AgentSpec, Task, WorkerInfo, WorkerView
from taskrun.domain.relayed import Refusal, RelayedMessage
from taskrun.domain.status import TaskStatus, WorkerStatus
from taskrun.ports.peers import Call, Peers
from taskrun.ports.store import (
    AnswerMessage,
    Backlog,
    Batch,
    CancelRelayed,
    ClaimMessages,
    ClaimNext,
    ClaimRuns,
    CollectMessage,
    Disowned,
    MessageCollected,
    MessageRelayed,
    MessagesClaimed,
    RelayCancel,
    RelayMessage,
    RunsClaimed,
    Store,
    TasksClaimed,
)
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
    requeued,
    save,
    task_id,
    tell,
)


class SharedStore(Store, Protocol):
    """A store with the way to others on it."""

    @property
    def peers(self) -> Peers:
        """The others."""
        ...


async def inherit(store: SharedStore) -> Sequence[Task]:
    """The RUNNING tasks that one meeting gives."""
    return (await store.peers.meet([])).inherited


async def claim_runs(store: SharedStore, worker_id: str = "worker-1") -> tuple[Task, ...]:
    """The tasks that one `ClaimRuns` gives."""
    [answer] = await store.commit(Batch(asks=[ClaimRuns(None, worker_id)]))
    assert isinstance(answer, RunsClaimed)
    return answer.tasks


def of_worker(worker_id: str, task: Task) -> Task:
    """The task, with its runs at this worker."""
    return replace(task, runs=tuple(replace(run, worker_id=worker_id) for run in task.runs))


def view(worker_id: str, status: WorkerStatus = WorkerStatus.IDLE, runs: int = 0) -> WorkerView:
    """A worker as it is shown."""
    return WorkerView(
        worker_id, WorkerInfo("host", "1", (AgentSpec("echo"),)), status, runs, 5, 6, 7, "turned a run away"
    )


def message(number: int, id: str, text: str = "more") -> RelayMessage:
    """A message for the run of the task of this number."""
    return RelayMessage(id, task_id(number), f"run-{number}", text)


async def left(store: SharedStore, *messages: RelayMessage) -> list[bool]:
    """Leaves these; which of them were left."""
    answers = await store.commit(Batch(asks=[*messages]))
    return [answer.relayed for answer in answers if isinstance(answer, MessageRelayed)]


async def claimed(store: SharedStore) -> Sequence[RelayedMessage]:
    """The messages that one `ClaimMessages` gives."""
    [answer] = await store.commit(Batch(asks=[ClaimMessages()]))
    assert isinstance(answer, MessagesClaimed)
    return answer.messages


async def collected(store: SharedStore, number: int, id: str) -> tuple[Task | None, bool, Refusal | None]:
    """What one `CollectMessage` gives: the task, whether the message was claimed, and why it was refused."""
    [answer] = await store.commit(Batch(asks=[CollectMessage(id, task_id(number))]))
    assert isinstance(answer, MessageCollected)
    return answer.task, answer.claimed, answer.refusal


class Ear:
    """What one hears, call by call."""

    def __init__(self, store: SharedStore) -> None:
        self._calls = store.peers.calls()

    async def next(self) -> Call:
        """The next call, as soon as it comes."""
        async with asyncio.timeout(10):
            return await anext(self._calls)

    async def close(self) -> None:
        """Listens no more."""
        await self._calls.aclose()  # type: ignore[attr-defined]  # a generator


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


class RelayContract:
    """Word of a cancel finds whoever has the task."""

    async def test_word_of_a_cancel_is_heard_by_whoever_has_the_task(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING))
        claimed = await claim_task(b, task_id(1))
        assert (claimed.owned, claimed.elsewhere) == (False, True)
        await b.commit(Batch(asks=[RelayCancel(task_id(1))]))
        assert (await b.peers.meet([])).cancels == []
        assert (await a.peers.meet([])).cancels == [task_id(1)]
        await claim_runs(b)
        assert (await a.peers.meet([])).cancels == []
        assert (await b.peers.meet([])).cancels == [task_id(1)]
        await save(b, requeued(make_task(1, RUNNING), 7))
        assert (await a.peers.meet([])).cancels == (await b.peers.meet([])).cancels == [task_id(1)]

    @pytest.mark.parametrize("told", [{}, {"status": TaskStatus.CANCELLED, "finished_at_ms": 9}])
    async def test_word_of_a_cancel_is_not_repeated_to_who_has_heard_it(
        self, a: SharedStore, b: SharedStore, told: dict[str, Any]
    ) -> None:
        await save(a, make_task(1, RUNNING))
        await b.commit(Batch(asks=[RelayCancel(task_id(1))]))
        await save(a, replace(make_task(1, RUNNING), cancel_requested=True, **told))
        assert (await a.peers.meet([])).cancels == (await b.peers.meet([])).cancels == []

    async def test_word_of_a_cancel_that_comes_after_the_end_is_none(self, a: SharedStore, b: SharedStore) -> None:
        ended = moved(make_task(1, RUNNING), COMPLETED)
        await save(a, ended)
        ask = RelayCancel(task_id(1))
        assert list(await b.commit(Batch(asks=[ask]))) == [CancelRelayed(ask, ended)]
        assert (await a.peers.meet([])).cancels == []
        await save(a, ended)

    @pytest.mark.parametrize("status", [COMPLETED, TaskStatus.FAILED])
    async def test_a_task_of_which_a_cancel_was_relayed_ends_in_no_other_way(
        self, a: SharedStore, b: SharedStore, status: TaskStatus
    ) -> None:
        task = make_task(1, RUNNING)
        await tell(a, task, change(0))
        await b.commit(Batch(asks=[RelayCancel(task.id)]))
        other = make_task(2)
        ended = Batch({task.id: moved(task, status), other.id: other}, {task.id: [change(1, status)]})
        with pytest.raises(Overruled) as overruled:
            await a.commit(ended)
        assert overruled.value.task_ids == (task.id,)
        assert (await a.get(task.id), await a.get(other.id)) == (task, None)
        assert list(await a.story(task.id, 0)) == [change(0)]
        cancelled = replace(moved(task, TaskStatus.CANCELLED), cancel_requested=True)
        ended.tasks[task.id] = cancelled
        assert list(await a.commit(ended)) == []
        assert await b.get(task.id) == cancelled

    async def test_whoever_has_the_task_when_it_ends_is_told_of_the_cancel(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        task = make_task(1, RUNNING)
        await save(a, task)
        await b.commit(Batch(asks=[RelayCancel(task.id)]))
        await claim_runs(b)
        assert list(await a.commit(Batch({task.id: moved(task, COMPLETED)}))) == [Disowned((task.id,))]
        await save(b, requeued(task, 7))
        assert await claim(a) == [task.id]
        await save(a, task)
        for _ in range(2):
            with pytest.raises(Overruled):
                await save(a, moved(task, COMPLETED))


class MessagesContract:
    """A message finds whoever has the run that it is for, and whoever left it what became of it."""

    async def test_a_message_is_claimed_by_whoever_has_the_task_once(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING), make_task(2, RUNNING))
        first, second = message(1, "m1", "more\0, \ud800"), message(2, "m2")
        assert await left(b, first, second) == [True, True]
        assert [(await each.peers.meet([])).messages for each in (a, b)] == [True, False]
        assert await claimed(b) == ()
        found = await claimed(a)
        assert [(each.id, each.task_id, each.run_id, each.message, each.again) for each in found] == [
            (each.id, each.task_id, each.run_id, each.message, False) for each in (first, second)
        ]
        assert not (await a.peers.meet([])).messages
        assert await claimed(a) == ()

    async def test_a_message_is_only_left_for_what_runs_elsewhere(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING), make_task(2), make_task(3, COMPLETED))
        assert await left(b, *(message(n, f"m{n}") for n in (1, 2, 3, 4))) == [True, False, False, False]
        assert await left(a, message(1, "m")) == [False]

    @pytest.mark.parametrize("refusal", [None, Refusal("FailedPrecondition", "why")])
    async def test_who_left_a_message_hears_what_became_of_it_and_takes_it_back(
        self, a: SharedStore, b: SharedStore, refusal: Refusal | None
    ) -> None:
        await save(a, make_task(1, RUNNING))
        await left(b, message(1, "m"))
        [found] = await claimed(a)
        assert (await b.peers.meet([])).answered == []
        await a.commit(Batch(asks=[AnswerMessage(found, refusal)]))
        assert ((await a.peers.meet([])).answered, (await b.peers.meet([])).answered) == ([], ["m"])
        assert await collected(b, 1, "m") == (make_task(1, RUNNING), True, refusal)
        assert (await b.peers.meet([])).answered == []
        assert await collected(b, 1, "m") == (None, False, None)

    async def test_what_the_task_tells_is_there_with_the_answer(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING))
        await left(b, message(1, "m"))
        [found] = await claimed(a)
        told = replace(make_task(1, RUNNING), next_seq=9)
        await a.commit(Batch({told.id: told}, asks=[AnswerMessage(found)]))
        assert await collected(b, 1, "m") == (told, True, None)

    async def test_a_message_that_is_taken_back_is_claimed_no_more(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING))
        await left(b, message(1, "m"))
        assert await collected(b, 1, "m") == (make_task(1, RUNNING), False, None)
        assert not (await a.peers.meet([])).messages
        assert await claimed(a) == ()

    async def test_who_has_the_task_next_finds_the_message_and_that_it_may_have_been_passed_on(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await save(a, make_task(1, RUNNING))
        await left(b, message(1, "m1"))
        [found] = await claimed(a)
        await left(b, message(1, "m2"))
        await claim_runs(b)
        await a.commit(Batch(asks=[AnswerMessage(found)]))
        meetings = [await each.peers.meet([]) for each in (a, b)]
        assert [(each.messages, each.answered) for each in meetings] == [(False, []), (True, [])]
        assert [(each.id, each.again) for each in await claimed(b)] == [("m1", True), ("m2", False)]

    async def test_who_begins_again_claims_again(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, RUNNING))
        await left(b, message(1, "m"))
        await claimed(a)
        await a.recover()
        assert (await a.peers.meet([])).messages
        assert [each.again for each in await claimed(a)] == [True]

    @pytest.mark.parametrize("then", [moved(make_task(1, RUNNING), COMPLETED), requeued(make_task(1, RUNNING), 7)])
    async def test_of_a_task_that_does_not_run_any_more_there_is_something_to_know(
        self, a: SharedStore, b: SharedStore, then: Task
    ) -> None:
        await save(a, make_task(1, RUNNING))
        await left(b, message(1, "m"))
        await save(a, then)
        assert (await b.peers.meet([])).answered == ["m"]
        assert not (await a.peers.meet([])).messages
        assert await claimed(a) == ()
        assert await collected(b, 1, "m") == (then, False, None)

    @pytest.mark.parametrize("dies", [True, False])
    async def test_a_message_is_gone_with_whoever_left_it(self, a: SharedStore, b: SharedStore, dies: bool) -> None:
        await save(a, make_task(1, RUNNING))
        await left(b, message(1, "m"))
        await (b.close() if dies else b.recover())
        assert not (await a.peers.meet([])).messages
        assert await claimed(a) == ()


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


class ShownWorkersContract:
    """Each sees the workers of the others."""

    async def test_each_sees_the_workers_of_the_others(self, a: SharedStore, b: SharedStore) -> None:
        assert (await a.peers.meet([view("w1"), view("w2")])).workers == []
        assert (await b.peers.meet([view("w3")])).workers == [view("w1"), view("w2")]
        busy = view("w2", WorkerStatus.BUSY, runs=1)
        assert (await a.peers.meet([busy])).workers == [view("w3")]
        assert (await b.peers.meet([])).workers == [busy]
        assert (await a.peers.meet([])).workers == (await b.peers.meet([])).workers == []

    async def test_the_workers_of_one_that_died_are_no_longer_seen(self, a: SharedStore, b: SharedStore) -> None:
        await a.peers.meet([view("w1")])
        await a.close()
        meeting = await b.peers.meet([])
        assert (meeting.others, meeting.workers) == (True, [])
        assert not (await b.peers.meet([])).others

    async def test_who_begins_again_shows_its_workers_anew(self, a: SharedStore, b: SharedStore) -> None:
        await a.peers.meet([view("w1")])
        await a.recover()
        assert (await b.peers.meet([])).workers == []
        await a.peers.meet([view("w1")])
        assert (await b.peers.meet([])).workers == [view("w1")]


class CallsContract:
    """What is stored is called out, and what others want to know."""

    async def test_what_one_stores_it_calls_out(self, a: SharedStore, ear: Ear) -> None:
        await tell(a, make_task(1), change(0))
        calls = [await ear.next(), await ear.next()]
        assert calls == [Call(stories=(task_id(1),)), Call(waiting={GENERAL: 1})]
        await tell(a, moved(make_task(1), RUNNING), change(1))
        assert await ear.next() == Call(stories=(task_id(1),))
        answer = AnswerMessage(RelayedMessage(1, "m", task_id(1), "run-1", "more"))
        for news in (RelayCancel(task_id(1)), message(1, "m"), answer):
            await a.commit(Batch(asks=[news]))
            assert await ear.next() == Call(meet=True)

    async def test_who_begins_and_whose_workers_come_or_go_calls_the_others_together(
        self, a: SharedStore, ear: Ear
    ) -> None:
        await a.recover()
        assert await ear.next() == Call(meet=True)
        await a.peers.meet([view("w1")])
        assert await ear.next() == Call(meet=True)
        await a.peers.meet([view("w1", WorkerStatus.BUSY)])
        await a.peers.meet([view("w1", WorkerStatus.DISCONNECTED)])
        assert await ear.next() == Call(meet=True)
        await tell(a, make_task(1, RUNNING), change(0))
        assert await ear.next() == Call(stories=(task_id(1),))


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


class PeersContract(
    RunningLimitContract,
    OwnershipOfSeveralContract,
    RelayContract,
    KeysOfSeveralContract,
    ShownWorkersContract,
    CallsContract,
):
    """Sign it by subclassing with the fixtures `a` and `b`."""

    @pytest.fixture
    async def ear(self, a: SharedStore, b: SharedStore) -> AsyncIterator[Ear]:
        """One that listens, was told so, and is known to the other."""
        await a.peers.meet([])
        ear = Ear(b)
        assert await ear.next() == Call(meet=True, missed=True)
        yield ear
        await ear.close()
