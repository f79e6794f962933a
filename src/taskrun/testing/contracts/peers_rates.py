"""Rates of new tasks that hold for all control planes together.

Time passes while these run, and gives back a part of every rate. So figures are low where nothing shall come back, and
high where something shall.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from taskrun.domain.errors import StoreFailed
from taskrun.domain.quotas import AccountName, Figures
from taskrun.ports.store import Batch, ClaimNext, FindKey, KeyFound, RateTaken, TakeRate, TasksClaimed
from taskrun.testing.contracts.peers_cases import SharedStore
from taskrun.testing.contracts.store_cases import GENERAL, change, make_task, save, task_id

ANN, ECHO, RED = AccountName("client", "ann"), AccountName("agent", "echo"), AccountName("label:team", 'r"é\\d, []')
#: A part of a minute is 60 µs.
MANY = 1_000_000


async def take(store: SharedStore, wanted: int, *accounts: tuple[AccountName, int], waiting: Figures = ()) -> RateTaken:
    """What one `TakeRate` gives."""
    ask = TakeRate("ref", accounts, wanted, waiting)
    [answer] = await store.commit(Batch(asks=[ask]))
    assert isinstance(answer, RateTaken)
    assert answer.ask == ask
    return answer


class RateContract:
    """What one has taken of a rate is there for nobody else."""

    async def test_who_was_idle_has_a_minutes_worth_at_once_of_whomever_it_is_asked(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        first = await take(a, 2, (ANN, 3))
        assert (first.granted, first.full, first.wait) == (2, None, 0)
        second = await take(b, 2, (ANN, 3))
        assert (second.granted, second.full) == (1, ANN)
        assert 0 < second.wait <= 20
        third = await take(a, 1, (ANN, 3))
        assert (third.granted, third.full) == (0, ANN)
        assert 0 < third.wait < second.wait

    async def test_the_account_that_is_full_for_the_longest_decides_and_only_what_is_granted_is_used_up(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        answer = await take(a, 9, (ANN, 4), (RED, 3), (ECHO, 1))
        assert (answer.granted, answer.full) == (1, ECHO)
        assert 40 < answer.wait <= 60
        answer = await take(b, 9, (RED, 3), (ANN, 4))
        assert (answer.granted, answer.full) == (2, RED)
        assert (await take(a, 9, (ANN, 4))).granted == 1
        assert (await take(b, 9, (ANN, 4), (ECHO, 1))).granted == 0

    async def test_time_gives_back_as_much_as_has_passed_and_no_more(self, a: SharedStore, b: SharedStore) -> None:
        begin = time.monotonic()
        assert (await take(a, 2 * MANY, (ANN, MANY))).granted == MANY
        granted = 0
        while not granted:
            granted = (await take(b, MANY, (ANN, MANY))).granted
        assert granted <= (time.monotonic() - begin) * MANY / 60 + 1

    async def test_a_lower_figure_holds_from_then_on_and_nobody_waits_for_more_than_its_minute(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        await take(a, 9, (ANN, 9))
        answer = await take(b, 1, (ANN, 1))
        assert (answer.granted, answer.full) == (0, ANN)
        assert 0 < answer.wait <= 60

    async def test_both_at_the_same_time_are_granted_no_more(self, a: SharedStore, b: SharedStore) -> None:
        answers = await asyncio.gather(*(take(store, 3, (ANN, 2), (ECHO, 2)) for store in (a, b) * 5))
        assert sum(answer.granted for answer in answers) == 2

    async def test_what_is_asked_with_it_is_answered_in_its_order(self, a: SharedStore, b: SharedStore) -> None:
        task = make_task(1, idempotency_key="k")
        await save(b, task)
        rates = [TakeRate("first", ((ANN, 2),), 1), TakeRate("second", ((ECHO, 5), (ANN, 2)), 2)]
        claim, key = ClaimNext(None, (GENERAL,), 1, ((ANN, 9),)), FindKey("ann", "k", 0)
        first, found, claimed, second = await a.commit(Batch(asks=[rates[0], key, claim, rates[1]]))
        assert (found, claimed) == (KeyFound(key, task), TasksClaimed(claim, (task,)))
        assert first == RateTaken(rates[0], 1)
        assert isinstance(second, RateTaken)
        assert (second.ask, second.granted, second.full) == (rates[1], 1, ANN)

    async def test_each_ask_of_a_commit_gets_what_those_before_it_have_not_used_up(
        self, a: SharedStore, b: SharedStore
    ) -> None:
        asks = [((ANN, 9), (ECHO, 1)), ((ANN, 9), (RED, 5)), ((ANN, 9),)]
        answers = await a.commit(Batch(asks=[TakeRate("ref", accounts, 4) for accounts in asks]))
        found = [(each.granted, each.full) for each in answers if isinstance(each, RateTaken)]
        assert found == [(1, ECHO), (4, None), (4, None)]
        assert (await take(b, 1, (ANN, 9))).granted == 0
        assert (await take(b, 9, (RED, 5))).granted == 1

    async def test_nothing_is_forgotten_with_who_has_taken_it(self, a: SharedStore, b: SharedStore) -> None:
        await take(a, 1, (ANN, 1))
        await a.recover()
        assert (await take(a, 1, (ANN, 1))).granted == 0
        await a.close()
        await b.peers.meet([])
        assert (await take(b, 1, (ANN, 1))).granted == 0

    async def test_a_commit_that_fails_uses_up_nothing(self, a: SharedStore, b: SharedStore) -> None:
        with pytest.raises(StoreFailed):
            await a.commit(Batch(story={task_id(1): [change(0)]}, asks=[TakeRate("ref", ((ANN, 1),), 1)]))
        assert (await take(b, 1, (ANN, 1))).granted == 1
