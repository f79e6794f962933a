"""New tasks under a rate for which none was taken before: the commit that is to store them takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from taskrun.domain.errors import Overbooked
from taskrun.domain.quotas import Figures
from taskrun.domain.records import Task
from taskrun.ports.store import Answer, Batch, Disowned, FindKey, KeyFound, RateTaken, TakeRate, TurnedAway
from taskrun.testing.contracts.peers_cases import SharedStore
from taskrun.testing.contracts.peers_rates import ANN, ECHO, RED, take
from taskrun.testing.contracts.store_cases import RUNNING, change, make_task, save


async def make(store: SharedStore, figures: Figures, *tasks: Task, waiting: Figures = ()) -> Sequence[Answer]:
    """What the commit answers that makes these under these rates."""
    return await store.commit(made(figures, *tasks, waiting=waiting))


def made(figures: Figures, *tasks: Task, waiting: Figures = ()) -> Batch:
    """The batch of such a commit."""
    ids = [task.id for task in tasks]
    rates, room = dict.fromkeys(ids, figures), dict.fromkeys(ids, waiting) if waiting else {}
    return Batch({task.id: task for task in tasks}, {each: [change(0)] for each in ids}, waiting=room, rates=rates)


def turned_away(answers: Sequence[Answer]) -> TurnedAway:
    """The one of these answers. Of the time that it names only whether there is one is known."""
    [answer] = answers
    assert isinstance(answer, TurnedAway)
    assert (answer.wait > 0) is (answer.waiting is None)
    return replace(answer, wait=0)


class MakingContract:
    """No more tasks are made than rates allow all of them, and none is turned away while there is some left."""

    async def test_who_comes_first_is_made_wherever_others_were(self, a: SharedStore, b: SharedStore) -> None:
        assert not await make(a, ((ANN, 3),), make_task(1), make_task(2))
        late = make_task(4), make_task(5, RUNNING)
        assert turned_away(await make(b, ((ANN, 3),), make_task(3), *late)) == TurnedAway(late, ANN, 3)
        assert [(await a.get(make_task(n).id)) is None for n in range(1, 6)] == [False, False, False, True, True]

    async def test_what_is_made_and_what_is_taken_before_are_of_one_rate(self, a: SharedStore, b: SharedStore) -> None:
        assert (await take(a, 1, (ANN, 3))).granted == 1
        assert not await make(b, ((ANN, 3),), make_task(1))
        assert (await take(a, 2, (ANN, 3))).granted == 1
        ask = TakeRate("ref", ((ECHO, 3),), 3)
        batch = made(((ECHO, 3),), make_task(2))
        batch.asks.append(ask)
        [taken] = await b.commit(batch)
        assert isinstance(taken, RateTaken)
        assert (taken.ask, taken.granted, taken.full) == (ask, 2, ECHO)

    async def test_the_account_that_is_full_for_the_longest_is_named_and_no_other_used_up(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        assert not await make(a, ((ANN, 9), (RED, 2), (ECHO, 2)), make_task(1))
        late = make_task(2)
        assert turned_away(await make(b, ((ANN, 9), (RED, 1), (ECHO, 2)), late)) == TurnedAway((late,), RED, 1)
        assert not await make(b, ((ECHO, 2),), make_task(3))

    async def test_nothing_is_kept_of_what_is_turned_away(self, a: SharedStore, b: SharedStore) -> None:
        await take(a, 1, (ANN, 1))
        late = make_task(1, idempotency_key="k")
        assert await make(a, ((ANN, 1),), late)
        assert (await b.get(late.id), list(await b.story(late.id, 0)), await b.backlog()) == (None, [], {})
        key = FindKey(late.created_by, "k", 0)
        assert list(await b.commit(Batch(asks=[key]))) == [KeyFound(key, None)]

    async def test_who_finds_no_room_uses_up_nothing_and_who_is_over_its_rate_takes_no_room(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        first, second, third = (make_task(n, share=((*ANN,),)) for n in range(3))
        assert not await make(a, ((RED, 2),), first, waiting=((ANN, 1),))
        answers = await make(b, ((RED, 2),), second, waiting=((ANN, 1),))
        assert turned_away(answers) == TurnedAway((second,), ANN, 1, 1)
        assert (await take(a, 2, (RED, 2))).granted == 1
        batch = made(((RED, 2),), second, waiting=((ANN, 2),))
        batch.tasks[third.id], batch.waiting[third.id] = third, ((ANN, 2),)
        assert turned_away(await b.commit(batch)) == TurnedAway((second,), RED, 2)

    async def test_what_another_has_made_uses_up_nothing(self, a: SharedStore, b: SharedStore) -> None:
        await save(a, make_task(1, idempotency_key="k"))
        ours = make_task(2, idempotency_key="k")
        assert list(await make(b, ((ANN, 1),), ours)) == [Disowned((ours.id,))]
        assert (await take(a, 1, (ANN, 1))).granted == 1

    async def test_a_batch_that_is_refused_uses_up_nothing(self, a: SharedStore, b: SharedStore) -> None:
        task = make_task(1, RUNNING)
        batch = made(((ANN, 1),), task)
        batch.running[task.id] = ((ANN, 0),)
        with pytest.raises(Overbooked):
            await a.commit(batch)
        assert (await take(b, 1, (ANN, 1))).granted == 1

    async def test_those_of_both_at_the_same_time_keep_to_it(self, a: SharedStore, b: SharedStore) -> None:
        figures = ((ANN, 5), (ECHO, 7))
        commits = [make(store, figures, make_task(n), make_task(n + 20)) for n, store in enumerate((a, b) * 5)]
        answers = [each for found in await asyncio.gather(*commits) for each in found]
        assert sum(len(each.tasks) for each in answers if isinstance(each, TurnedAway)) == 15
