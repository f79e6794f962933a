"""Limits on what runs that come while tasks run at several control planes: no more begin than may, and all do."""

from __future__ import annotations

import asyncio

from taskrun.domain.quotas import Limit
from taskrun.domain.records import Task
from taskrun.domain.status import TaskStatus
from taskrun.engine.control_plane import ControlPlane
from tests.adapters.stores.limited_planes import Outcomes, Planes, Start, create, rule
from tests.adapters.stores.test_postgres_running import Hand, Shift

RUNNING, PENDING = TaskStatus.RUNNING, TaskStatus.PENDING


def statuses(outcomes: Outcomes) -> list[TaskStatus]:
    return [task.status for task in outcomes if isinstance(task, Task)]


async def busy(start: Start, shift: Shift) -> tuple[ControlPlane, ControlPlane]:
    """Two, each with three tasks of ann's that run under no limit, and with slots for many more."""
    one, other = await start(), await start()
    for plane in (one, other):
        await Hand(plane, shift).connect("w1" if plane is one else "w2", slots=20)
        assert statuses(await create(plane, *[""] * 3)) == [RUNNING] * 3
    return one, other


async def end_all(shift: Shift, count: int) -> int:
    """So many end, one after the other; returns how many ran at most when one more had begun."""
    shift.most = 0
    async with asyncio.timeout(60):
        for _ in range(count):
            await shift.end_one()
    return shift.most


async def test_what_runs_at_two_counts_under_a_limit_that_comes_to_both(start: Start) -> None:
    shift = Shift()
    planes = await busy(start, shift)
    await rule(Limit("client", running=2), by=planes)
    for plane in planes:
        assert statuses(await create(plane, *[""] * 4)) == [PENDING] * 4
    assert 0 < await end_all(shift, 14) <= 2


async def test_all_that_runs_counts_from_when_a_limit_has_come_to_the_last(start: Start) -> None:
    shift = Shift()
    one, other = await busy(start, shift)
    await rule(Limit("client", running=4), by=[one])
    assert statuses(await create(one, "", "")) == [RUNNING, PENDING]
    await rule(Limit("client", running=4), by=[other])
    assert statuses(await create(other, *[""] * 4)) == [PENDING] * 4
    assert 0 < await end_all(shift, 12) <= 4


async def test_what_ran_before_a_control_plane_was_started_with_a_limit_counts_at_all(planes: Planes) -> None:
    shift = Shift()
    before = await planes.start()
    await Hand(before, shift).connect("w1", process="p")
    await create(before, *[""] * 3)
    await planes.stop(before)
    _after, other = [await planes.start(Limit("client", running=4)) for _ in range(2)]
    await Hand(other, shift).connect("w2")
    assert statuses(await create(other, "", "")) == [RUNNING, PENDING]
