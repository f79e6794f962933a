from __future__ import annotations

import asyncio
import time

import pytest

from taskrun.adapters.system.clock import SystemClock


def test_the_clock_shows_both_times() -> None:
    mono, utc_ms = time.monotonic(), time.time_ns() // 1_000_000
    now = SystemClock().now()
    assert mono <= now.mono <= time.monotonic()
    assert utc_ms <= now.utc_ms <= time.time_ns() // 1_000_000


async def test_a_sleeper_wakes_at_its_time_and_not_before() -> None:
    clock = SystemClock()
    until = clock.now().mono + 0.02
    await clock.sleep_until(until)
    assert clock.now().mono >= until


async def test_a_time_that_has_passed_is_not_waited_for() -> None:
    clock = SystemClock()
    async with asyncio.timeout(0):
        await clock.sleep_until(clock.now().mono - 1)
        await clock.sleep_until(float("-inf"))


async def test_a_sleeper_can_be_cancelled() -> None:
    clock = SystemClock()
    sleeper = asyncio.create_task(clock.sleep_until(clock.now().mono + 3600))
    await asyncio.sleep(0)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
