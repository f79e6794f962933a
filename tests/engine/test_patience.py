"""A turn takes many inputs where many come, and costs an idle system next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from taskrun.engine.patience import ENOUGH, LEAST, MOST, Patience


async def _rounds(call: Callable[[], Awaitable[None]]) -> int:
    """How many rounds of the loop the call lets others go first."""
    rounds = 0

    async def tick() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await call()
    ticking.cancel()
    return rounds


async def _gathers(patience: Patience, inbox: list[int], arrivals: int) -> int:
    """Gathers while so many inputs come, one a round."""

    async def arrive() -> None:
        for number in range(arrivals):
            inbox.append(number)
            await asyncio.sleep(0)

    arriving = asyncio.create_task(arrive())
    rounds = await _rounds(lambda: patience.gather(inbox))
    arriving.cancel()
    return rounds


async def test_an_idle_system_waits_least() -> None:
    assert await _rounds(lambda: Patience().gather([1])) <= LEAST


async def test_it_grows_while_inputs_come_and_shrinks_when_none_do() -> None:
    patience = Patience()
    rounds = [await _gathers(patience, [1], arrivals=MOST) for _ in range(6)]
    assert rounds == sorted(rounds)
    assert MOST - 2 <= rounds[-1] <= MOST
    shrinking = [await _gathers(patience, [1], arrivals=0) for _ in range(7)]
    assert shrinking == sorted(shrinking, reverse=True)
    assert shrinking[-1] <= LEAST


async def test_it_ends_as_soon_as_there_is_enough() -> None:
    assert await _rounds(lambda: Patience().gather([1] * ENOUGH)) == 0
