from __future__ import annotations

from taskrun.engine.alarm import Alarm
from taskrun.testing.clock import JumpingClock


class Bell:
    def __init__(self, clock: JumpingClock) -> None:
        self.clock = clock
        self.rung: list[float] = []
        self.start = clock.now().mono
        self.alarm = Alarm(clock, self.ring)

    def ring(self) -> None:
        self.rung.append(self.clock.now().mono - self.start)

    def set(self, after: float | None) -> None:
        self.alarm.set(None if after is None else self.start + after)


async def test_it_rings_once_at_its_time(jumping: JumpingClock) -> None:
    bell = Bell(jumping)
    bell.set(5)
    await jumping.advance(4.9)
    assert bell.rung == []
    await jumping.advance(100)
    assert bell.rung == [5]


async def test_an_earlier_time_takes_the_place_of_a_later_and_a_later_is_ignored(jumping: JumpingClock) -> None:
    bell = Bell(jumping)
    bell.set(5)
    bell.set(2)
    bell.set(9)
    await jumping.advance(100)
    assert bell.rung == [2]


async def test_nothing_to_wait_for_leaves_it_as_it_is(jumping: JumpingClock) -> None:
    bell = Bell(jumping)
    bell.set(None)
    bell.set(5)
    bell.set(None)
    await jumping.advance(100)
    assert bell.rung == [5]


async def test_it_can_be_set_again_after_it_rang(jumping: JumpingClock) -> None:
    bell = Bell(jumping)
    bell.set(1)
    await jumping.advance(2)
    bell.set(3)
    await jumping.advance(2)
    assert bell.rung == [1, 3]


async def test_a_time_that_is_past_rings_at_once(jumping: JumpingClock) -> None:
    bell = Bell(jumping)
    bell.set(-1)
    await jumping.advance(0)
    assert bell.rung == [0]


async def test_a_stopped_alarm_does_not_ring_and_stopping_twice_is_harmless(jumping: JumpingClock) -> None:
    bell = Bell(jumping)
    bell.set(1)
    bell.alarm.stop()
    bell.alarm.stop()
    await jumping.advance(2)
    assert bell.rung == []
