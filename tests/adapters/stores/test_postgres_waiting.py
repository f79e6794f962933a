"""How many tasks of an account may wait, which control planes on one database count together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count

import psycopg
import pytest

from taskrun.adapters.stores.postgres import database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.protocol import AssignRun, ToWorker
from taskrun.domain.quotas import AccountName, Limit
from taskrun.domain.records import Task
from taskrun.engine.control_plane import ControlPlane
from taskrun.ports.store import Batch, ClaimRuns, Disowned, RunsClaimed, TurnedAway
from taskrun.testing.contracts.store_cases import RUNNING, make_task, save
from tests.adapters.stores.limited_planes import Outcomes, Start, create, kinds
from tests.engine.peers import Peer

MOST = 25
LIMITS = (Limit("client", waiting=MOST), Limit("agent", waiting=MOST + 5), Limit("client", "bob", waiting=0))


class Observer:
    """Counts what waits in the database, again and again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seen: list[int] = []

    async def now(self) -> int:
        """What waits at this moment."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            return await self._count(connection)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """All that it sees meanwhile is kept."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            over = asyncio.Event()
            watching = asyncio.create_task(self._watch(connection, over))
            yield
            over.set()
            await watching

    async def _watch(self, connection: psycopg.AsyncConnection, over: asyncio.Event) -> None:
        while not over.is_set():
            self.seen.append(await self._count(connection))

    async def _count(self, connection: psycopg.AsyncConnection) -> int:
        cursor = await connection.execute("SELECT count(*)::int FROM tasks WHERE waits")
        [[found]] = await cursor.fetchall()
        assert isinstance(found, int)
        return found


class Diligent(Peer):
    """A worker that ends each run as it comes, and says how many it was given."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(plane)
        self._given: asyncio.Queue[str] = asyncio.Queue()

    def send(self, messages: Sequence[ToWorker]) -> None:
        for message in messages:
            if isinstance(message, AssignRun):
                self._given.put_nowait(message.run_id)

    async def work(self, runs: int, slots: int) -> None:
        """Ends so many runs, and then is full with those that follow."""
        for _ in range(runs):
            await self.end(await self._given.get())
        for _ in range(slots):
            await self._given.get()


@pytest.fixture
def observer(emptied_url: str) -> Observer:
    return Observer(emptied_url)


async def three(start: Start) -> list[ControlPlane]:
    """Control planes that know of each other."""
    return [await start(*LIMITS) for _ in range(3)]


def flat(outcomes: Sequence[Outcomes]) -> Outcomes:
    return [each for answers in outcomes for each in answers]


@pytest.mark.parametrize("keyed", [False, True])
async def test_of_creates_at_once_as_many_are_let_in_as_there_is_room_for(
    start: Start, observer: Observer, *, keyed: bool
) -> None:
    planes, numbers = await three(start), count()
    keys = [[f"{next(numbers)}" if keyed else "" for _ in range(4)] for _ in range(60)]
    async with observer.watching():
        outcomes = flat(
            await asyncio.gather(*(create(plane, *few) for plane, few in zip(planes * 20, keys, strict=True)))
        )
    assert kinds(outcomes) == {Task: MOST, ResourceExhausted: 240 - MOST}
    assert max(observer.seen) <= MOST
    assert await observer.now() == MOST


async def test_while_a_worker_takes_tasks_no_more_wait_than_may_and_all_room_is_used(
    start: Start, observer: Observer
) -> None:
    planes, done, runs, slots = await three(start), asyncio.Event(), 100, 5
    worker = Diligent(planes[1])

    async def ask(plane: ControlPlane) -> Outcomes:
        outcomes: list[Outcomes] = []
        while not done.is_set():
            outcomes.append(await create(plane, "", "", ""))
        return flat(outcomes)

    async with observer.watching():
        asking = [asyncio.create_task(ask(plane)) for plane in planes * 3]
        await worker.connect(slots=slots)
        await worker.work(runs, slots)
        done.set()
        outcomes = flat(await asyncio.gather(*asking))
    # The worker is full: who is let in now stays.
    room = MOST - await observer.now()
    last = flat(await asyncio.gather(*(create(plane, *[""] * MOST) for plane in planes)))
    assert kinds(last)[Task] == room
    assert (await observer.now(), max(observer.seen) <= MOST) == (MOST, True)
    found = kinds([*outcomes, *last])
    assert found[Task] == MOST + runs + slots
    assert found.keys() == {Task, ResourceExhausted}


async def test_of_each_account_only_so_many_wait_and_the_one_that_is_full_is_named(start: Start) -> None:
    a, b, _ = await three(start)
    assert kinds(await create(a, *[""] * 10)) == {Task: 10}
    assert kinds(await create(b, *[""] * 10, by="client:carl")) == {Task: 10}
    answers = await create(b, *[""] * 11, by="client:dora")
    assert [str(each) for each in answers if isinstance(each, ResourceExhausted)] == [
        "The agent echo has 30 of at most 30 tasks waiting: try again when one of them has begun."
    ]
    assert [str(each) for each in await create(a, "", by="client:bob")] == [
        "The client bob has 0 of at most 0 tasks waiting: try again when one of them has begun."
    ]


async def test_under_a_rate_too_who_is_refused_is_told_as_many_as_may_wait(start: Start) -> None:
    """Also where those before it in the same call have taken the last room."""
    plane = await start(Limit("client", waiting=3, per_minute=100))
    answers = [str(each) for each in await create(plane, *[""] * 5) if isinstance(each, ResourceExhausted)]
    assert answers == ["The client ann has 3 of at most 3 tasks waiting: try again when one of them has begun."] * 2


async def test_who_comes_under_several_limits_in_any_order_waits_for_nobody_for_ever(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_DEADLOCKS", 0)
    planes = await three(start)
    callers = [f"client:{number}" for number in range(30)]
    calls = [
        create(plane, f"{by}", by=by)
        for _ in range(3)
        for plane, order in zip(planes, (callers, callers[::-1], callers[15:] + callers[:15]), strict=True)
        for by in order
    ]
    assert kinds(flat(await asyncio.gather(*calls))) == {Task: 270}


async def test_the_repeat_of_a_create_is_never_refused(start: Start) -> None:
    a, b, _ = await three(start)
    [first, *_] = await create(a, "first", *[""] * (MOST - 1))
    assert kinds(await create(b, "", "second")) == {ResourceExhausted: 2}
    assert await create(b, "first") == [first]
    assert kinds(await create(a, "second")) == {ResourceExhausted: 1}


# In the database.

ANN = AccountName("client", "ann")


@pytest.fixture
def store(stores: tuple[PostgresStore, PostgresStore]) -> PostgresStore:
    return stores[0]


async def full_at(store: PostgresStore, figure: int, number: int) -> int | None:
    """How many wait that keep this new task out; None if it is let in."""
    task = replace(make_task(number), share=(("client", "ann"),))
    answers = await store.commit(Batch({task.id: task}, waiting={task.id: ((ANN, figure),)}))
    return next((each.waiting for each in answers if isinstance(each, TurnedAway)), None)


_BLOCKED = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def wait_for_waiting(connection: psycopg.AsyncConnection, how_many: int) -> None:
    """Returns when so many commits wait for a lock."""
    async with asyncio.timeout(5):
        while (await (await connection.execute(f"SELECT count(*) {_BLOCKED}")).fetchall()) != [(how_many,)]:
            pass


async def test_who_comes_while_another_takes_the_last_room_waits_to_hear_of_it(
    stores: tuple[PostgresStore, PostgresStore], emptied_url: str
) -> None:
    one, other = stores
    assert await full_at(one, 2, 1) is None
    async with (
        await psycopg.AsyncConnection.connect(emptied_url, autocommit=True) as watching,
        await psycopg.AsyncConnection.connect(emptied_url) as holding,
    ):
        # What is counted last: who has come so far has all but stored its task.
        await holding.execute("LOCK TABLE counts IN EXCLUSIVE MODE")
        first = asyncio.create_task(full_at(one, 2, 2))
        await wait_for_waiting(watching, 1)
        second = asyncio.create_task(full_at(other, 2, 3))
        await wait_for_waiting(watching, 2)
    assert (await first, await second) == (None, 2)


async def test_who_comes_while_another_is_about_to_count_counts_after_it(
    stores: tuple[PostgresStore, PostgresStore], emptied_url: str
) -> None:
    """Nothing of the account's row has changed yet: who only put it there if it is missing would wait for nobody."""
    one, other = stores
    assert await full_at(one, 2, 1) is None
    async with (
        await psycopg.AsyncConnection.connect(emptied_url, autocommit=True) as watching,
        await psycopg.AsyncConnection.connect(emptied_url) as holding,
    ):
        # What is counted: whoever has got as far as that stays there.
        await holding.execute("LOCK TABLE waiting IN ACCESS EXCLUSIVE MODE")
        first = asyncio.create_task(full_at(one, 2, 2))
        await wait_for_waiting(watching, 1)
        second = asyncio.create_task(full_at(other, 2, 3))
        await wait_for_waiting(watching, 2)
        locks = await (await watching.execute(f"SELECT wait_event {_BLOCKED} ORDER BY 1")).fetchall()
    assert (await first, await second) == (None, 2)
    assert locks == [("relation",), ("transactionid",)]


async def test_what_waits_is_counted_only_where_what_is_known_leaves_no_room(
    store: PostgresStore, emptied_url: str
) -> None:
    assert await full_at(store, 10, 1) is None
    with psycopg.connect(emptied_url) as connection:
        # What nobody has let in shows whether somebody counts.
        connection.execute("UPDATE waiting SET amount = amount + 100")
    assert await full_at(store, 10, 2) is None
    assert await full_at(store, 2, 3) == 102
    assert await full_at(store, 104, 3) is None
    with psycopg.connect(emptied_url) as connection:
        connection.execute("UPDATE waiting SET amount = amount - 100")
    assert await full_at(store, 4, 4) is None
    assert await full_at(store, 4, 5) == 4


@pytest.mark.parametrize("shift", ["- interval '6 s'", "+ interval '1 day'"])
async def test_a_count_that_is_old_or_of_a_clock_that_was_set_back_is_not_believed(
    store: PostgresStore, emptied_url: str, shift: str
) -> None:
    assert await full_at(store, 10, 1) is None
    with psycopg.connect(emptied_url) as connection:
        connection.execute(f"UPDATE crowds SET counted = counted {shift}".encode())
        connection.execute("UPDATE waiting SET amount = amount + 100")
    assert await full_at(store, 10, 2) == 101


async def test_what_says_nothing_any_more_goes_at_a_meeting(store: PostgresStore, emptied_url: str) -> None:
    await full_at(store, 10, 1)
    await store.peers.meet([])
    with psycopg.connect(emptied_url) as connection:
        assert connection.execute("SELECT account, most FROM crowds").fetchall() == [('[["client","ann"]]', 1)]
        connection.execute("UPDATE crowds SET counted = counted - interval '6 s'")
        connection.commit()
        await store.peers.meet([])
        assert connection.execute("SELECT FROM crowds").fetchall() == []


async def test_whoever_lets_a_worker_in_and_whoever_had_its_runs_do_not_wait_for_each_other(
    stores: tuple[PostgresStore, PostgresStore], emptied_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both make tasks of one account, and have to do with one run: who comes second waits for the first."""
    monkeypatch.setattr(database, "_DEADLOCKS", 0)
    one, other = stores
    run, first, second = make_task(1, RUNNING), make_task(2), make_task(3)
    figures = ((ANN, 9),)
    await save(other, run)
    came = Batch({first.id: first}, asks=[ClaimRuns("", "worker-1")], waiting={first.id: figures})
    goes_on = Batch({run.id: run, second.id: second}, waiting={second.id: figures})
    async with (
        await psycopg.AsyncConnection.connect(emptied_url, autocommit=True) as watching,
        await psycopg.AsyncConnection.connect(emptied_url) as holding,
    ):
        # What the first changes before it has the run.
        await holding.execute("LOCK counts IN SHARE MODE")
        coming = asyncio.create_task(one.commit(came))
        await wait_for_waiting(watching, 1)
        going_on = asyncio.create_task(other.commit(goes_on))
        await wait_for_waiting(watching, 2)
    [answer] = await coming
    assert isinstance(answer, RunsClaimed)
    assert answer.tasks == (run,)
    assert list(await going_on) == [Disowned((run.id,))]
