"""Limits on how many new tasks wait, which hold for all control planes together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from taskrun.domain.quotas import AccountName, Figures
from taskrun.domain.records import Requirement, Task
from taskrun.ports.store import (
    Answer,
    Batch,
    ClaimNext,
    Disowned,
    FindKey,
    KeyFound,
    TasksClaimed,
    TurnedAway,
)
from taskrun.testing.contracts.peers_cases import Ear, SharedStore
from taskrun.testing.contracts.peers_rates import MANY, take
from taskrun.testing.contracts.store_cases import RUNNING, change, make_task, moved, save, task_id

ANN, BOB = AccountName("client", "ann"), AccountName("client", "bob")
GENERAL_AGENT, RED = AccountName("agent", "general"), AccountName("label:team", 'r"é\\d, []')
OF_ANN = Requirement("general", (), ((*ANN,), (*RED,)))


def of(account: AccountName, number: int, key: str = "") -> Task:
    """A new task of this client, of the red team."""
    return replace(make_task(number, idempotency_key=key), share=((*account,), (*RED,)))


async def create(store: SharedStore, figures: Figures, *tasks: Task) -> Sequence[Answer]:
    """What the commit answers that puts these into the queue under these limits."""
    return await store.commit(
        Batch(
            {task.id: task for task in tasks},
            {task.id: [change(0)] for task in tasks},
            waiting=dict.fromkeys((task.id for task in tasks), figures),
        )
    )


async def waiting(store: SharedStore) -> int:
    """How many wait."""
    return sum(each.waiting for each in (await store.backlog()).values())


class WaitingLimitContract:
    """No new task is let in where as many wait as may, and none is turned away while there is room."""

    async def test_what_all_of_them_have_put_in_is_counted_and_who_came_first_is_let_in(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        assert not await create(a, ((ANN, 3),), of(ANN, 1), of(ANN, 2))
        late = of(ANN, 4), of(ANN, 5)
        assert list(await create(b, ((ANN, 3),), of(ANN, 3), *late)) == [TurnedAway(late, ANN, 3, 3)]
        assert list(await create(a, ((ANN, 2),), of(ANN, 6))) == [TurnedAway((of(ANN, 6),), ANN, 2, 3)]
        assert not await create(a, ((ANN, 4),), of(ANN, 6))

    async def test_nothing_is_kept_of_what_is_turned_away(self, a: SharedStore, b: SharedStore) -> None:
        late = of(ANN, 1, key="k")
        assert await create(a, ((ANN, 0),), late)
        assert (await b.get(late.id), list(await b.story(late.id, 0)), await b.backlog()) == (None, [], {})
        assert (await b.recover()).counts == dict.fromkeys((await a.recover()).counts, 0)
        key = FindKey(late.created_by, "k", 0)
        assert list(await b.commit(Batch(asks=[key]))) == [KeyFound(key, None)]
        assert not await create(b, ((ANN, 1),), of(ANN, 2, key="k"))

    async def test_each_account_counts_whatever_waits_in_it(self, a: SharedStore, b: SharedStore) -> None:
        await create(a, ((ANN, 9),), of(ANN, 1))
        await create(b, ((BOB, 9),), of(BOB, 2))
        assert list(await create(a, ((ANN, 2), (RED, 2)), of(ANN, 3))) == [TurnedAway((of(ANN, 3),), RED, 2, 2)]
        assert list(await create(a, ((GENERAL_AGENT, 2),), of(ANN, 3))) == [
            TurnedAway((of(ANN, 3),), GENERAL_AGENT, 2, 2)
        ]
        assert not await create(a, ((BOB, 2), (ANN, 2)), of(ANN, 3))

    async def test_whoever_is_taken_out_by_whomever_makes_room(self, a: SharedStore, b: SharedStore) -> None:
        await create(a, ((ANN, 1),), of(ANN, 1))
        await b.commit(Batch(asks=[ClaimNext(None, (OF_ANN,), 1)]))
        assert not await create(a, ((ANN, 1),), of(ANN, 2))

    async def test_a_claim_in_the_same_commit_finds_the_queue_without_those(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await create(b, ((ANN, 1),), of(ANN, 1))
        claim, late = ClaimNext(None, (OF_ANN,), 5), of(ANN, 2)
        answers = await a.commit(Batch({late.id: late}, asks=[claim], waiting={late.id: ((ANN, 1),)}))
        assert list(answers) == [TurnedAway((late,), ANN, 1, 1), TasksClaimed(claim, (of(ANN, 1),))]

    async def test_all_else_of_the_commit_is_stored_and_what_is_anothers_takes_no_room(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await save(b, make_task(1, RUNNING))
        await create(b, ((ANN, 9),), of(ANN, 2, key="k"))
        theirs, first, late = of(ANN, 3, key="k"), of(ANN, 4), of(ANN, 5)
        tasks = (moved(make_task(1), RUNNING), theirs, first, late)
        batch = Batch({task.id: task for task in tasks}, waiting=dict.fromkeys(map(task_id, (3, 4, 5)), ((ANN, 2),)))
        assert list(await a.commit(batch)) == [
            TurnedAway((late,), ANN, 2, 2),
            Disowned((task_id(1), theirs.id)),
        ]
        assert await b.get(first.id) == first

    async def test_both_at_the_same_time_let_in_no_more_and_no_fewer(self, a: SharedStore, b: SharedStore) -> None:
        figures = ((ANN, 25), (RED, 30))
        calls = [
            create(store, figures, *(of(ANN, number) for number in range(first, first + 4)))
            for first, store in zip(range(0, 40, 4), (a, b) * 5, strict=True)
        ]
        away = [task for answers in await asyncio.gather(*calls) for each in answers for task in _tasks(each)]
        assert (len(away), await waiting(a)) == (15, 25)

    async def test_the_others_do_not_hear_of_it(self, a: SharedStore, b: SharedStore, ear: Ear) -> None:
        await create(a, ((ANN, 0),), of(ANN, 1))
        await create(a, ((ANN, 1),), of(ANN, 2))
        calls = [await ear.next(), await ear.next()]
        assert [call.stories for call in calls if call.stories] == [(task_id(2),)]
        assert [call.waiting for call in calls if call.waiting] == [{OF_ANN: 1}]

    async def test_who_would_find_no_room_takes_no_part_of_a_rate(self, a: SharedStore, b: SharedStore) -> None:
        await create(b, ((ANN, 3),), of(ANN, 1))
        answer = await take(a, 5, (ANN, 2), waiting=((ANN, 1), (RED, 9)))
        assert (answer.granted, answer.full, answer.waiting) == (0, ANN, 1)
        answer = await take(b, 5, (ANN, 2), waiting=((ANN, 9), (RED, 2)))
        assert (answer.granted, answer.full, answer.waiting) == (1, RED, 2)
        answer = await take(a, 5, (ANN, 2), waiting=((ANN, 9),))
        assert (answer.granted, answer.full, answer.waiting) == (1, ANN, None)
        assert answer.wait > 0

    async def test_who_finds_room_is_granted_its_rate(self, a: SharedStore, b: SharedStore) -> None:
        answer = await take(b, 2, (ANN, MANY), waiting=((ANN, 2),))
        assert (answer.granted, answer.full) == (2, None)


def _tasks(answer: Answer) -> tuple[Task, ...]:
    assert isinstance(answer, TurnedAway)
    return answer.tasks
