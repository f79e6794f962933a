"""Rates of new tasks that control planes on one database count together."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from taskrun.adapters.stores.postgres import database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.quotas import AccountName, Limit
from taskrun.domain.records import Task
from taskrun.ports.store import Ask, Batch, ClaimNext, RateTaken, TakeRate
from taskrun.testing.contracts.store_cases import GENERAL
from tests.adapters.stores.limited_planes import Start, create, kinds
from tests.adapters.stores.test_postgres_waiting import wait_for_waiting

PER_MINUTE = 60
A_MINUTE = Limit("client", per_minute=PER_MINUTE)


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_rate_holds_for_all_that_is_created_on_two_control_planes_at_once(start: Start, *, keyed: bool) -> None:
    a, b = await start(A_MINUTE), await start(A_MINUTE)
    clock = SystemClock()
    begin = clock.now().mono
    calls = [create(plane, *(f"{n} {m}" if keyed else "" for m in range(10))) for n, plane in enumerate([a, b] * 10)]
    outcomes = [each for answers in await asyncio.gather(*calls) for each in answers]
    # Each second gives one back.
    most = PER_MINUTE + int(clock.now().mono - begin)
    found = kinds(outcomes)
    assert PER_MINUTE <= found[Task] <= most
    assert found == {Task: found[Task], ResourceExhausted: 200 - found[Task]}
    assert sum(each.waiting for each in (await a.backlog()).values()) == found[Task]
    assert kinds(await create(b, "", by="client:bob")) == {Task: 1}


async def test_the_repeat_of_a_create_is_never_refused_and_uses_up_nothing(start: Start) -> None:
    a, b = await start(Limit("client", per_minute=2)), await start(Limit("client", per_minute=2))
    [first] = await create(a, "first")
    repeats = await asyncio.gather(*(create(plane, "first", "first") for plane in (a, b) * 5))
    assert all(outcome == first for outcomes in repeats for outcome in outcomes)
    assert kinds(await create(b, "second", "third")) == {Task: 1, ResourceExhausted: 1}
    assert await create(b, "first") == [first]


async def test_one_key_is_one_task_however_many_use_it_while_its_rate_is_asked_for(start: Start) -> None:
    a, b = await start(Limit("client", per_minute=9)), await start(Limit("client", per_minute=9))
    calls = [create(plane, "k", "k") for plane in (a, b) * 10]
    outcomes = [each for answers in await asyncio.gather(*calls) for each in answers]
    assert len({each.id for each in outcomes if isinstance(each, Task)}) == 1
    assert kinds(outcomes) == {Task: 40}


async def test_a_restart_forgets_nothing(start: Start) -> None:
    first = await start(Limit("client", per_minute=1))
    assert kinds(await create(first, "", "")) == {Task: 1, ResourceExhausted: 1}
    await first.stop()
    assert kinds(await create(await start(Limit("client", per_minute=1)), "")) == {ResourceExhausted: 1}


# In the database.


async def test_no_order_of_asks_makes_two_wait_for_each_other(
    stores: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_DEADLOCKS", 0)
    accounts = [AccountName("client", f"{number}") for number in range(200)]
    claims: list[Ask] = [ClaimNext(None, (GENERAL,), 1, ((account, 3),)) for account in accounts[:20]]
    rates: list[Ask] = [TakeRate("ref", ((account, 9),), 1) for account in accounts]
    for orders in [(rates, rates[::-1]), ([*claims, *rates], [*rates, *claims])] * 8:
        commits = [store.commit(Batch(asks=[*asks])) for store, asks in zip(stores, orders, strict=True)]
        assert list(map(len, await asyncio.gather(*commits))) == list(map(len, orders))


async def test_what_says_nothing_any_more_goes_at_a_meeting(
    stores: tuple[PostgresStore, PostgresStore], emptied_url: str
) -> None:
    one, other = stores
    asks = [TakeRate("ref", ((AccountName("client", name), most),), 1) for name, most in (("x", 1), ("y", 1_000_000))]
    answers = await one.commit(Batch(asks=[*asks]))
    assert list(answers) == [RateTaken(ask, 1) for ask in asks]
    await other.peers.meet([])
    with psycopg.connect(emptied_url) as connection:
        assert connection.execute("SELECT account FROM rates").fetchall() == [('[["client","x"]]',)]


async def test_a_server_whose_clock_is_set_back_lets_nobody_wait_for_more_than_a_minute(
    stores: tuple[PostgresStore, PostgresStore], emptied_url: str
) -> None:
    ask = TakeRate("ref", ((AccountName("client", "x"), 2),), 1)
    await stores[0].commit(Batch(asks=[ask]))
    with psycopg.connect(emptied_url) as connection:
        connection.execute("UPDATE rates SET even = even + interval '1 day'")
    [answer] = await stores[1].commit(Batch(asks=[ask]))
    assert isinstance(answer, RateTaken)
    assert answer.granted == 0
    assert 0 < answer.wait <= 30


async def test_who_asks_while_another_takes_the_rest_of_a_rate_waits_to_hear_of_it(
    stores: tuple[PostgresStore, PostgresStore], emptied_url: str
) -> None:
    """A rate that was used before: whoever is the first to use one keeps the others from it anyway."""
    one, other = stores
    ask = Batch(asks=[TakeRate("", ((AccountName("client", "ann"), 2),), 1)])
    await one.commit(ask)
    async with (
        await psycopg.AsyncConnection.connect(emptied_url, autocommit=True) as watching,
        await psycopg.AsyncConnection.connect(emptied_url) as holding,
    ):
        await holding.execute("SELECT FROM rates FOR UPDATE")
        asking = [asyncio.create_task(store.commit(ask)) for store in (one, other)]
        await wait_for_waiting(watching, 2)
    answers = [answer for each in asking for answer in await each if isinstance(answer, RateTaken)]
    assert sorted(answer.granted for answer in answers) == [0, 1]
