"""What every `Store` must do. A binding gives the `store` fixture: a new, empty store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from taskrun.domain.errors import StoreFailed
from taskrun.domain.quotas import AccountName
from taskrun.domain.records import StoryEntry, TaskQuery
from taskrun.domain.relayed import RelayedMessage
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import (
    AnswerMessage,
    Ask,
    Backlog,
    Batch,
    CancelRelayed,
    ClaimMessages,
    ClaimNext,
    ClaimRuns,
    ClaimTask,
    CollectMessage,
    Disowned,
    FindKey,
    MessageAnswered,
    MessageCollected,
    MessageRelayed,
    MessagesClaimed,
    RateTaken,
    Recovery,
    RelayCancel,
    RelayMessage,
    Retention,
    RunsClaimed,
    Store,
    TakeRate,
    TurnedAway,
)
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    PENDING,
    RUNNING,
    TRIAGE,
    change,
    claim,
    claim_task,
    ids,
    make_task,
    moved,
    output,
    requeued,
    save,
    task_id,
    tell,
)
from taskrun.testing.contracts.store_expiry import ClaimExpiredContract
from taskrun.testing.contracts.store_keys import FindKeyContract
from taskrun.testing.contracts.store_places import AheadContract, BacklogContract
from taskrun.testing.contracts.store_pruning import PruneContract
from taskrun.testing.contracts.store_queue import ClaimNextContract, ClaimTaskContract, ShareContract
from taskrun.testing.contracts.store_reading import FindContract, StoryContract
from taskrun.testing.contracts.store_stranded import ClaimStrandedContract


class CommitContract:
    """A batch is applied as a whole, or not at all, and seen by every later read."""

    async def test_what_was_committed_is_read(self, store: Store) -> None:
        task = make_task(1, RUNNING, labels={"a": "b"}, timeout_ms=5, max_attempts=7, idempotency_key="k")
        await save(store, task)
        assert await store.get(task.id) == task

    async def test_an_unknown_task_is_none(self, store: Store) -> None:
        assert await store.get(task_id(1)) is None

    async def test_the_newest_value_replaces_the_older(self, store: Store) -> None:
        await save(store, make_task(1))
        newest = requeued(make_task(1, RUNNING), at_ms=9000)
        await save(store, newest)
        assert await store.get(task_id(1)) == newest

    async def test_an_empty_batch_changes_nothing(self, store: Store) -> None:
        assert list(await store.commit(Batch())) == []

    async def test_answers_come_in_the_order_of_the_asks(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2, idempotency_key="k"))
        asks: list[Ask] = [FindKey("ann", "k", 0), ClaimTask(task_id(2)), ClaimNext(None, (GENERAL,), 9)]
        answers = await store.commit(Batch(asks=asks))
        assert [answer.ask for answer in answers if not isinstance(answer, Disowned | TurnedAway)] == asks

    async def test_the_caller_may_use_its_batch_again(self, store: Store) -> None:
        batch = Batch({task_id(1): make_task(1)}, {task_id(1): [change(0)]})
        await store.commit(batch)
        batch.tasks[task_id(2)] = make_task(2)
        batch.story[task_id(1)].append(change(1))
        assert await store.get(task_id(2)) is None
        assert list(await store.story(task_id(1), 0)) == [change(0)]

    @pytest.mark.parametrize("again", [change(0), output(2, "b", "c")], ids=["the first", "within a segment"])
    async def test_a_story_that_tells_something_again_is_refused(self, store: Store, again: StoryEntry) -> None:
        await tell(store, make_task(1), change(0), output(1, "a", "b"))
        with pytest.raises(StoreFailed):
            await tell(store, make_task(1), again)

    async def test_a_story_that_begins_later_than_its_task_is_refused(self, store: Store) -> None:
        await save(store, make_task(1))
        with pytest.raises(StoreFailed):
            await tell(store, make_task(1, RUNNING), change(0))
        assert await store.get(task_id(1)) == make_task(1)

    async def test_a_story_of_no_task_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreFailed):
            await store.commit(Batch(story={task_id(1): [change(0)]}))

    async def test_of_a_refused_batch_nothing_is_stored(self, store: Store) -> None:
        await tell(store, make_task(1), change(0))
        refused = Batch(
            {task_id(1): moved(make_task(1), RUNNING), task_id(2): make_task(2, idempotency_key="k")},
            {task_id(2): [change(0)], task_id(1): [change(1), change(0)]},
            [ClaimNext(None, (GENERAL,), 9)],
        )
        with pytest.raises(StoreFailed):
            await store.commit(refused)
        assert await store.get(task_id(1)) == make_task(1)
        assert await store.get(task_id(2)) is None
        assert (await store.find(TaskQuery())).tasks == (make_task(1),)
        assert list(await store.story(task_id(1), 0)) == [change(0)]
        assert list(await store.story(task_id(2), 0)) == []
        assert await store.backlog() == {GENERAL: Backlog(1, 1001)}

    async def test_a_store_that_refused_a_batch_works_on(self, store: Store) -> None:
        await tell(store, make_task(1), change(0))
        with pytest.raises(StoreFailed):
            await tell(store, make_task(1), change(0))
        await tell(store, moved(make_task(1), RUNNING), change(1))
        assert await store.get(task_id(1)) == moved(make_task(1), RUNNING)


class RoomContract:
    """A store says whether it has room for new tasks."""

    async def test_a_new_store_has_room(self, store: Store) -> None:
        assert store.room


class RecoveryContract:
    """A control plane that starts learns where things stand."""

    async def test_an_empty_store_has_nothing_to_tell(self, store: Store) -> None:
        recovery = await store.recover()
        assert (recovery.active, dict(recovery.backlog)) == ((), {})
        assert _counts(recovery) == {}

    async def test_the_running_tasks_are_told(self, store: Store) -> None:
        await save(store, *(make_task(n, RUNNING) for n in (1, 4, 5)), make_task(2), make_task(3, COMPLETED))
        assert sorted(task.id for task in (await store.recover()).active) == ids(1, 4, 5)
        assert make_task(4, RUNNING) in (await store.recover()).active

    async def test_the_backlog_is_told(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3, needs=TRIAGE))
        assert dict((await store.recover()).backlog) == {GENERAL: Backlog(2, 1001), TRIAGE: Backlog(1, 1003)}

    async def test_the_tasks_of_each_status_are_counted(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2), make_task(3, RUNNING), make_task(4, COMPLETED))
        await save(store, moved(make_task(2), RUNNING))
        await save(store, make_task(5), moved(make_task(3), TaskStatus.CANCELLED))
        await claim_task(store, task_id(1))
        assert _counts(await store.recover()) == {PENDING: 2, RUNNING: 1, COMPLETED: 1, TaskStatus.CANCELLED: 1}

    async def test_what_was_claimed_and_never_saved_waits_again(self, store: Store) -> None:
        await save(store, *(make_task(n, priority=n) for n in range(4)))
        await claim(store, limit=2)
        await claim_task(store, task_id(0))
        assert (await store.recover()).backlog == {GENERAL: Backlog(4, 1000)}
        assert await claim(store) == ids(3, 2, 1, 0)

    async def test_what_was_claimed_and_saved_waits_no_more(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2))
        await claim(store)
        await save(store, moved(make_task(1), RUNNING))
        await store.recover()
        assert await claim(store) == ids(2)

    async def test_what_waits_again_can_leave_the_queue_as_ever(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2))
        await claim(store)
        await store.recover()
        await save(store, moved(make_task(1), RUNNING))
        assert await claim(store) == ids(2)

    async def test_recovering_twice_changes_nothing(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2, RUNNING))
        await claim(store)
        assert await store.recover() == await store.recover()
        assert await claim(store) == ids(1)


class OwnershipContract:
    """What a control plane has nobody takes from it, least of all itself."""

    async def test_the_runs_that_one_has_are_no_news_to_it(self, store: Store) -> None:
        await store.recover()
        await save(store, make_task(1, RUNNING))
        ask = ClaimRuns("ref", "worker-1")
        [answer] = await store.commit(Batch(asks=[ask]))
        # One that nobody shares need not look: all of them are its own.
        assert answer in (RunsClaimed(ask, ()), RunsClaimed(ask, (make_task(1, RUNNING),), frozenset({task_id(1)})))

    async def test_what_is_claimed_here_is_not_elsewhere(self, store: Store) -> None:
        await store.recover()
        await save(store, make_task(1))
        await claim(store)
        assert not (await claim_task(store, task_id(1))).elsewhere

    async def test_word_of_a_cancel_is_answered_with_the_task(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2, COMPLETED))
        asks = [RelayCancel(task_id(n)) for n in (1, 2, 3)]
        answers = await store.commit(Batch(asks=[*asks]))
        tasks = (make_task(1), make_task(2, COMPLETED), None)
        assert list(answers) == [CancelRelayed(ask, task) for ask, task in zip(asks, tasks, strict=True)]

    async def test_the_first_of_a_minute_are_granted(self, store: Store) -> None:
        await store.recover()
        ask = TakeRate("ref", ((AccountName("client", "ann"), 3),), 3)
        assert list(await store.commit(Batch(asks=[ask]))) == [RateTaken(ask, 3)]

    async def test_new_tasks_for_which_there_is_room_are_stored(self, store: Store) -> None:
        await store.recover()
        waits, runs, figures = make_task(1), make_task(2, RUNNING), ((AccountName("agent", "general"), 3),)
        ask = TakeRate("ref", figures, 1, figures)
        batch = Batch({waits.id: waits, runs.id: runs}, {waits.id: [change(0)], runs.id: [change(0)]}, [ask])
        batch.waiting[waits.id] = batch.rates[waits.id] = batch.rates[runs.id] = batch.running[runs.id] = figures
        assert list(await store.commit(batch)) == [RateTaken(ask, 1)]
        assert (await store.get(waits.id), await store.get(runs.id)) == (waits, runs)

    async def test_what_runs_already_may_be_counted_by_itself_and_with_all_else(self, store: Store) -> None:
        await store.recover()
        task, counted = make_task(1, RUNNING), dict[str, tuple[AccountName, ...]]()
        counted[task.id] = (AccountName("agent", "general"), AccountName("client", "ann"))
        await save(store, task)
        assert list(await store.commit(Batch(counted=counted))) == []
        done = moved(task, COMPLETED)
        await store.commit(Batch({done.id: done}, counted=counted))
        assert await store.get(task.id) == done

    async def test_no_message_is_left_where_there_is_nobody_else(self, store: Store) -> None:
        await store.recover()
        await save(store, make_task(1, RUNNING))
        relay, claim, collect = RelayMessage("m", task_id(1), "run", "more"), ClaimMessages(), CollectMessage("m", "t")
        answer = AnswerMessage(RelayedMessage(1, "m", task_id(1), "run", "more"))
        assert list(await store.commit(Batch(asks=[relay, claim, answer, collect]))) == [
            MessageRelayed(relay, relayed=False),
            MessagesClaimed(claim, ()),
            MessageAnswered(answer),
            MessageCollected(collect, None),
        ]


_CALLS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "recover": lambda store: store.recover(),
    "commit": lambda store: store.commit(Batch()),
    "get": lambda store: store.get(task_id(1)),
    "find": lambda store: store.find(TaskQuery()),
    "story": lambda store: store.story(task_id(1), 0),
    "backlog": lambda store: store.backlog(),
    "ahead": lambda store: store.ahead(task_id(1), 1),
    "prune": lambda store: store.prune(Retention(1, 0, 0), 1),
}


class CloseContract:
    """A store ends once, and says so."""

    async def test_closing_twice_is_harmless(self, store: Store) -> None:
        await store.close()
        await store.close()

    @pytest.mark.parametrize("call", _CALLS.values(), ids=_CALLS)
    async def test_a_closed_store_says_so(self, store: Store, call: Callable[[Store], Awaitable[object]]) -> None:
        await save(store, make_task(1))
        await store.close()
        with pytest.raises(StoreFailed):
            await call(store)


class StoreContract(
    CommitContract,
    ClaimNextContract,
    ClaimTaskContract,
    ShareContract,
    ClaimExpiredContract,
    ClaimStrandedContract,
    FindKeyContract,
    BacklogContract,
    AheadContract,
    FindContract,
    StoryContract,
    PruneContract,
    RoomContract,
    RecoveryContract,
    OwnershipContract,
    CloseContract,
):
    """Sign it by subclassing with a `store` fixture."""


def _counts(recovery: Recovery) -> dict[TaskStatus, int]:
    return {status: count for status, count in recovery.counts.items() if count}
