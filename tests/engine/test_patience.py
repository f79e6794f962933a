"""A turn waits for as long as others bring something, and no longer."""

from __future__ import annotations

import asyncio

from taskrun.domain.control_plane.inputs import RoomMade
from taskrun.engine.inbox import Inbox
from taskrun.engine.patience import ENOUGH, QUIET, gather


async def _bring(box: Inbox, count: int, rounds: int) -> None:
    """One input each time that so many rounds have passed."""
    for _ in range(count):
        for _ in range(rounds):
            await asyncio.sleep(0)
        box.put(RoomMade())


async def _gathered(count: int, rounds: int) -> int:
    box = Inbox()
    bringing = asyncio.create_task(_bring(box, count, rounds))
    await gather(box)
    gathered = box.load
    bringing.cancel()
    return gathered


async def test_what_comes_within_a_few_rounds_is_waited_for() -> None:
    assert await _gathered(count=10, rounds=QUIET - 1) == 10


async def test_who_takes_longer_is_not() -> None:
    assert await _gathered(count=10, rounds=QUIET + 2) == 0


async def test_when_there_is_enough_nobody_is_waited_for() -> None:
    assert await _gathered(count=2 * ENOUGH, rounds=1) == ENOUGH


async def test_with_enough_to_do_nobody_else_gets_a_round() -> None:
    box = Inbox()
    for _ in range(ENOUGH):
        box.put(RoomMade())
    other = asyncio.create_task(asyncio.sleep(0))
    await gather(box)
    assert not other.done()
    await other
