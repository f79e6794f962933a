from __future__ import annotations

import asyncio

import pytest

from taskrun.testing.clock import JumpingClock, jump


class Diary:
    """Sleepers that write down when they woke."""

    def __init__(self, clock: JumpingClock) -> None:
        self.clock = clock
        self.begun = clock.now().mono
        self.entries: list[tuple[str, float]] = []
        self.sleepers: list[asyncio.Task[None]] = []

    def sleep(self, name: str, *until: float) -> asyncio.Task[None]:
        self.sleepers.append(asyncio.create_task(self._sleep(name, until)))
        return self.sleepers[-1]

    async def _sleep(self, name: str, until: tuple[float, ...]) -> None:
        for seconds in until:
            await self.clock.sleep_until(self.begun + seconds)
            self.entries.append((name, self.clock.now().mono - self.begun))


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


async def test_time_stands_still_by_itself(clock: JumpingClock) -> None:
    before = clock.now()
    await asyncio.sleep(0.01)
    assert clock.now() == before


async def test_time_that_has_passed_is_not_waited_for(clock: JumpingClock) -> None:
    await clock.sleep_until(clock.now().mono)
    await clock.sleep_until(clock.now().mono - 5)


async def test_both_times_go_on_together(clock: JumpingClock) -> None:
    before = clock.now()
    await clock.advance(1.5)
    assert clock.now() == (before.mono + 1.5, before.utc_ms + 1500)


async def test_a_shift_of_the_wall_clock_leaves_monotonic_time_alone(clock: JumpingClock) -> None:
    before = clock.now()
    clock.shift_utc(-3_600_000)
    assert clock.now() == (before.mono, before.utc_ms - 3_600_000)


async def test_sleepers_wake_at_their_own_times_in_order(clock: JumpingClock) -> None:
    diary = Diary(clock)
    diary.sleep("c", 3)
    diary.sleep("a", 1, 4)
    diary.sleep("b", 2)
    await clock.advance(10)
    assert diary.entries == [("a", 1), ("b", 2), ("c", 3), ("a", 4)]
    assert clock.now().mono == diary.begun + 10


async def test_of_one_deadline_the_first_to_sleep_wakes_first(clock: JumpingClock) -> None:
    diary = Diary(clock)
    for name in "bca":
        diary.sleep(name, 1)
    await clock.advance(1)
    assert [name for name, _ in diary.entries] == ["b", "c", "a"]


async def test_nobody_wakes_early(clock: JumpingClock) -> None:
    diary = Diary(clock)
    sleeper = diary.sleep("a", 1)
    await clock.advance(0.999)
    assert not sleeper.done()
    await clock.advance(0.001)
    assert sleeper.done()


async def test_what_a_woken_one_leads_to_is_done_before_the_next_wakes(clock: JumpingClock) -> None:
    begun, seen = clock.now().mono, []

    async def chain() -> None:
        await clock.sleep_until(begun + 1)
        for _ in range(50):
            await asyncio.create_task(asyncio.sleep(0))
        seen.append(clock.now().mono - begun)

    tasks = [asyncio.create_task(chain()), Diary(clock).sleep("later", 2)]
    await clock.advance(5)
    assert seen == [1]
    assert all(task.done() for task in tasks)


async def test_advancing_by_nothing_waits_for_the_others(clock: JumpingClock) -> None:
    task = asyncio.create_task(Diary(clock)._sleep("now", (0, 0, 0)))
    await clock.advance(0)
    assert task.done()


async def test_time_does_not_go_back(clock: JumpingClock) -> None:
    with pytest.raises(ValueError, match="never goes back"):
        await clock.advance(-1)


async def test_a_cancelled_sleeper_is_passed_over(clock: JumpingClock) -> None:
    diary = Diary(clock)
    gone, _ = diary.sleep("gone", 1), diary.sleep("here", 2)
    await clock.advance(0)
    gone.cancel()
    await clock.advance(5)
    assert diary.entries == [("here", 2)]


async def test_two_may_advance_at_once(clock: JumpingClock) -> None:
    diary = Diary(clock)
    diary.sleep("a", 1)
    await asyncio.gather(clock.advance(2), clock.advance(3))
    assert diary.entries == [("a", 1)]
    assert clock.now().mono == diary.begun + 3


async def test_a_loop_that_spins_is_named(clock: JumpingClock) -> None:
    loop, spinning = asyncio.get_running_loop(), True

    def spin() -> None:
        if spinning:
            loop.call_soon(spin)

    spin()
    with pytest.raises(RuntimeError, match="does not come to rest"):
        await clock.advance(1)
    spinning = False


async def test_autojump_goes_to_the_next_deadline_when_nothing_else_runs() -> None:
    clock = JumpingClock(autojump=True)
    diary = Diary(clock)
    diary.sleep("a", 3600, 7200)
    diary.sleep("b", 5000)
    await asyncio.gather(*diary.sleepers)
    assert diary.entries == [("a", 3600), ("b", 5000), ("a", 7200)]


async def test_autojump_waits_for_those_who_run() -> None:
    clock = JumpingClock(autojump=True)
    begun = clock.now().mono

    async def work() -> float:
        for _ in range(200):
            await asyncio.sleep(0)
        return clock.now().mono

    sleeper = asyncio.create_task(clock.sleep_until(begun + 1))
    assert await work() == begun
    await sleeper
    assert clock.now().mono == begun + 1


async def test_autojump_rests_when_nobody_sleeps() -> None:
    clock = JumpingClock(autojump=True)
    await clock.sleep_until(clock.now().mono + 1)
    after = clock.now()
    await asyncio.sleep(0.01)
    assert clock.now() == after
    await clock.sleep_until(after.mono + 1)
    assert clock.now().mono == after.mono + 1


async def test_a_loop_can_be_told_that_it_is_later() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    jump(3600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(before + 3600):
            await loop.create_future()
    assert loop.time() - before < 3660
