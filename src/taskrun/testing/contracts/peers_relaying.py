"""What one control plane asks of another that has the run: cancels, and messages for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from taskrun.domain.errors import Overruled
from taskrun.domain.records import Task
from taskrun.domain.relayed import Refusal, RelayedMessage
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import (
    AnswerMessage,
    Batch,
    CancelRelayed,
    ClaimMessages,
    CollectMessage,
    Disowned,
    MessageCollected,
    MessageRelayed,
    MessagesClaimed,
    RelayCancel,
    RelayMessage,
)
from taskrun.testing.contracts.peers_cases import SharedStore, claim_runs, message
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    RUNNING,
    change,
    claim,
    claim_task,
    make_task,
    moved,
    requeued,
    save,
    task_id,
    tell,
)


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
