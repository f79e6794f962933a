"""What runs of accounts, as control planes on one database count it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.domain.protocol import AssignRun, ToWorker
from taskrun.domain.quotas import Limit
from taskrun.engine.control_plane import ControlPlane
from taskrun.testing.contracts.peers_limits import ANN, ECHO, claim_limited
from taskrun.testing.contracts.store_cases import COMPLETED, RUNNING, ids, make_task, moved, save, task_id
from tests.adapters.stores.limited_planes import Start, create
from tests.adapters.stores.test_postgres_waiting import wait_for_waiting
from tests.engine.peers import Peer

_ANN = '[["client","ann"]]'


async def opened(url: str) -> PostgresStore:
    store = PostgresStore(await asyncio.to_thread(Database, url))
    await store.recover()
    return store


@pytest.fixture
async def store(emptied_url: str) -> AsyncIterator[PostgresStore]:
    store = await opened(emptied_url)
    yield store
    await store.close()


async def run_to_end(store: PostgresStore, *numbers: int) -> None:
    """These, which are claimed, run and have ended."""
    for status in (RUNNING, COMPLETED):
        await save(store, *(moved(make_task(n), status) for n in numbers))


def rows(url: str, sql: str) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


async def test_what_runs_is_counted_only_where_the_bound_leaves_too_little_room(
    store: PostgresStore, emptied_url: str
) -> None:
    await save(store, *(make_task(n) for n in range(9)))
    for n in range(3):
        assert await claim_limited(store, (ANN, 3), limit=1) == (ids(n), ())
        await run_to_end(store, n)
    assert rows(emptied_url, "SELECT most FROM crews") == [(3,)]
    assert rows(emptied_url, "SELECT count(*) FROM running") == [(3,)]
    assert await claim_limited(store, (ANN, 3), limit=1) == (ids(3), ())
    assert rows(emptied_url, "SELECT most FROM crews") == [(1,)]
    assert rows(emptied_url, "SELECT count(*) FROM running") == [(1,)]


async def test_of_what_ran_before_there_was_a_bound_nothing_is_forgotten(
    store: PostgresStore, emptied_url: str
) -> None:
    await save(store, *(make_task(n) for n in range(9)))
    await claim_limited(store, (ANN, 3), limit=2)
    with psycopg.connect(emptied_url) as connection:
        connection.execute("DELETE FROM crews")
    assert await claim_limited(store, (ANN, 3), limit=2) == (ids(2), (ANN,))


async def test_what_says_nothing_any_more_goes_at_a_meeting(store: PostgresStore, emptied_url: str) -> None:
    await save(store, *(make_task(n) for n in range(9)))
    await claim_limited(store, (ANN, 9), limit=2)
    await run_to_end(store, 0)
    await store.peers.meet([])
    assert rows(emptied_url, "SELECT account, task_id FROM running") == [(_ANN, *ids(1))]
    assert rows(emptied_url, "SELECT account FROM crews") == [(_ANN,)]
    await run_to_end(store, 1)
    await store.peers.meet([])
    assert rows(emptied_url, "SELECT * FROM running UNION ALL SELECT account, '' FROM crews") == []


async def test_whose_turn_it_is_outlives_a_meeting_and_goes_when_nobody_comes_for_long(
    store: PostgresStore, emptied_url: str
) -> None:
    await save(store, *(make_task(n) for n in range(9)))
    await claim_limited(store, (ANN, 1), limit=2)
    await run_to_end(store, 0)
    for _ in range(2):
        await store.peers.meet([])
    assert rows(emptied_url, "SELECT cardinality(queue), called_at IS NULL FROM crews") == [(1, False)]
    with psycopg.connect(emptied_url) as connection:
        connection.execute("UPDATE crews SET called_at = now() - interval '6 s'")
    await store.peers.meet([])
    assert rows(emptied_url, "SELECT account FROM crews") == []


async def test_no_more_run_than_may_while_others_end_and_control_planes_meet(
    store: PostgresStore, emptied_url: str
) -> None:
    other = await opened(emptied_url)
    waiting, running, peaks = set(range(60)), set[str](), set[int]()
    await save(store, *map(make_task, waiting))

    async def work(store: PostgresStore) -> None:
        while waiting:
            taken, _ = await claim_limited(store, (ANN, 5), (ECHO, 7), limit=2)
            running.update(taken)
            peaks.add(len(running))
            numbers = [n for n in waiting if task_id(n) in taken]
            waiting.difference_update(numbers)
            await save(store, *(moved(make_task(n), RUNNING) for n in numbers))
            # From when it may be stored that they have ended.
            running.difference_update(taken)
            await save(store, *(moved(make_task(n), COMPLETED) for n in numbers))
            await store.peers.meet([])

    await asyncio.gather(*(work(each) for each in (store, other) * 3))
    await other.close()
    assert 2 < max(peaks) <= 5


async def test_who_claims_while_another_takes_the_last_room_waits_to_hear_of_it(
    stores: tuple[PostgresStore, PostgresStore], emptied_url: str
) -> None:
    one, other = stores
    await save(one, *(make_task(number) for number in range(12)))
    async with (
        await psycopg.AsyncConnection.connect(emptied_url, autocommit=True) as watching,
        await psycopg.AsyncConnection.connect(emptied_url) as holding,
    ):
        # What a claim changes when it has counted what runs.
        await holding.execute("SELECT FROM waiting FOR UPDATE")
        first = asyncio.create_task(claim_limited(one, (ANN, 2)))
        await wait_for_waiting(watching, 1)
        second = asyncio.create_task(claim_limited(other, (ANN, 2)))
        await wait_for_waiting(watching, 2)
    assert (await first, await second) == ((ids(0, 1), (ANN,)), ([], (ANN,)))


class Shift:
    """What workers of several control planes have to do, in the order in which they heard of it."""

    def __init__(self) -> None:
        self.runs: dict[str, Peer] = {}
        self.most = 0
        self._begun = asyncio.Event()

    def begin(self, peer: Peer, run_id: str) -> None:
        self.runs[run_id] = peer
        self.most = max(self.most, len(self.runs))
        self._begun.set()

    async def end_one(self, of: int = 1) -> Peer:
        """The first of so many, as soon as there are. Returns whose it was."""
        while len(self.runs) < of:
            self._begun.clear()
            await self._begun.wait()
        run_id = next(iter(self.runs))
        # From when it may be stored that it has ended.
        peer = self.runs.pop(run_id)
        await peer.end(run_id)
        return peer


class Hand(Peer):
    """A worker whose runs go on until the shift ends them."""

    def __init__(self, plane: ControlPlane, shift: Shift) -> None:
        super().__init__(plane)
        self._shift = shift

    def send(self, messages: Sequence[ToWorker]) -> None:
        for message in messages:
            if isinstance(message, AssignRun):
                self._shift.begin(self, message.run_id)


async def test_no_more_begin_than_may_however_many_are_created_at_two_control_planes_with_free_workers(
    start: Start,
) -> None:
    limits = Limit("client", running=5), Limit("agent", running=7)
    planes, shift = [await start(*limits) for _ in range(2)], Shift()
    for number, plane in enumerate(planes):
        await Hand(plane, shift).connect(f"w{number}", slots=20)

    async def create_all(plane: ControlPlane, client: str) -> None:
        for _ in range(5):
            await create(plane, *[""] * 3, by=client)

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(create_all(plane, client) for plane in planes for client in ("client:ann", "client:bob"))
        )
        for _ in range(60):
            await shift.end_one()
    assert shift.most == 7
