"""Room of one limit that several control planes wait for, each for tasks that only its own worker can do."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg
import pytest

from taskrun.adapters.stores.postgres import turns
from taskrun.adapters.stores.postgres.database import Database
from taskrun.domain.quotas import AccountName, Limit
from taskrun.domain.records import Requirement, TaskSpec
from taskrun.engine.control_plane import ControlPlane
from taskrun.ports.store import Batch, ClaimNext, TasksClaimed
from taskrun.testing.contracts.store_cases import make_task, save
from tests.adapters.stores.limited_planes import Start
from tests.adapters.stores.test_postgres_running import Hand, Shift, opened

POOL = Limit("label:pool", "x", running=1)


async def busy(plane: ControlPlane, shift: Shift, agent: str, tasks: int) -> Hand:
    """The only worker for this agent, at this control plane, with so many tasks in the pool."""
    hand = Hand(plane, shift)
    await hand.connect(f"w-{agent}", slots=5, agent=agent)
    await plane.create([TaskSpec(agent, "1", labels={"pool": "x"})] * tasks, f"client:{agent}")
    return hand


@pytest.mark.parametrize("running", [1, 3])
async def test_room_goes_round_between_two_control_planes(start: Start, running: int) -> None:
    shift, limit = Shift(), Limit("label:pool", "x", running=running)
    one, other = [await busy(await start(limit), shift, agent, 40) for agent in ("one", "other")]
    async with asyncio.timeout(60):
        ended = Counter([await shift.end_one(of=running) for _ in range(40)])
    # The first has begun before the other was there.
    assert abs(ended[one] - ended[other]) <= 2 * running
    assert shift.most <= running


async def test_who_has_much_to_do_does_not_keep_another_from_its_one_task(start: Start) -> None:
    shift = Shift()
    await busy(await start(POOL), shift, "one", 40)
    late = await busy(await start(POOL), shift, "other", 1)
    async with asyncio.timeout(60):
        ended = [await shift.end_one() for _ in range(4)]
    assert late in ended


async def test_who_leaves_hears_whether_others_were_kept_waiting_for_its_place(emptied_url: str) -> None:
    store = await opened(emptied_url)
    database = Database(emptied_url)
    with psycopg.connect(emptied_url, autocommit=True) as connection:
        connection.execute("""
            INSERT INTO crews VALUES
                ('first', 1, '{7, 8}', now()), ('second', 1, '{8, 7}', now()), ('no room', 1, '{7}', NULL)
        """)
        assert not await database.change(turns.leave, 7, ["second", "no room"])
        assert await database.change(turns.leave, 7, ["first", "second", "unknown"])
        left = connection.execute("SELECT account, queue, called_at IS NULL FROM crews ORDER BY account").fetchall()
    assert left == [("first", [8], True), ("no room", [], True), ("second", [8], False)]
    await database.close()
    await store.close()


@pytest.mark.parametrize("running", [1, 3])
async def test_a_control_plane_that_is_frozen_keeps_room_for_no_longer_than_a_meeting(
    start: Start, emptied_url: str, running: int
) -> None:
    limit, lease = Limit("label:pool", "x", running=running), 1.5
    shift = Shift()
    planes = [await start(limit, lease=lease) for _ in range(2)]
    hands = [await busy(plane, shift, agent, 40) for plane, agent in zip(planes, ("one", "other"), strict=True)]
    frozen = await opened(emptied_url)
    pool = AccountName("label:pool", "x")
    claim = ClaimNext(None, (Requirement("third"),), 1, ((pool, running),))
    await save(frozen, make_task(1, needs=Requirement("third")))
    assert list(await frozen.commit(Batch(asks=[claim]))) == [TasksClaimed(claim, (), (pool,))]
    clock, longest = asyncio.get_running_loop().time, 0.0
    async with asyncio.timeout(60):
        for _ in range(40):
            began = clock()
            assert await shift.end_one() in hands
            longest = max(longest, clock() - began)
    # A second, and a meeting; the rest is the machine's.
    assert longest < 1 + lease / 3 + 3
    await frozen.close()
