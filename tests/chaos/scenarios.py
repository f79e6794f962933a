"""What is done to a world. Each scenario leaves a system without bugs without a finding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chaos.speech import Speech
from tests.chaos.world import World

Scenario = Callable[[World], Awaitable[None]]

#: Takes a minute.
LONG = Speech(0, lines=60, width=10, pause=1.0)


async def nothing(world: World) -> None:
    """Tasks are done, and somebody watches."""
    await world.hire("one", "two")
    for number in range(5):
        world.watch(await world.begin(Speech(number, lines=10, pause=1.0)))


async def a_fast_talker(world: World) -> None:
    """The whole run is over before anything of it is sent."""
    await world.hire("one")
    await world.begin(Speech(0, lines=50))


async def a_cancel(world: World) -> None:
    """A task is cancelled while it runs."""
    await world.hire("one")
    task_id = await world.begin(LONG)
    await world.clock.advance(3.5)
    await world.cancel(task_id)


async def a_crash_before_the_commit(world: World) -> None:
    """The control plane dies with a create that is not stored."""
    await world.hire("one")
    # The first commit only looks for the key.
    world.brink.stop(stored=False, skip=1)
    world.create(LONG)
    await world.settle()
    await world.kill_plane()


async def a_crash_after_the_commit(world: World) -> None:
    """It dies with a create that is stored and not answered."""
    await world.hire("one")
    world.brink.stop(stored=True, skip=1)
    world.create(LONG)
    await world.settle()
    await world.kill_plane()


async def a_crash_before_output_is_stored(world: World) -> None:
    """It dies with output that it was sent and has not stored."""
    await world.hire("one")
    await world.begin(LONG)
    await world.clock.advance(3.5)
    world.brink.stop(stored=False)
    await world.clock.advance(1.0)
    await world.kill_plane()


async def a_crash_in_a_run(world: World) -> None:
    """It dies while a run is under way."""
    await world.hire("one")
    await world.begin(LONG)
    await world.clock.advance(3.5)
    await world.kill_plane()


async def a_crash_after_a_cancel(world: World) -> None:
    """It dies when a cancel is acknowledged, and the worker has not heard of it."""
    await world.hire("one")
    task_id = await world.begin(LONG)
    await world.clock.advance(3.5)
    world.isolate("one")
    await world.cancel(task_id)
    await world.kill_plane()
    world.connect("one")


async def a_cut(world: World) -> None:
    """A worker's stream breaks while it has a run."""
    await world.hire("one")
    await world.begin(LONG)
    await world.clock.advance(3.5)
    await world.cut("one")


async def an_old_stream_that_ends_late(world: World) -> None:
    """A worker is back on a new stream before the end of its old one is noticed."""
    await world.hire("one")
    await world.begin(LONG)
    await world.clock.advance(3.5)
    world.board.half_open = True
    await world.cut("one")
    await world.clock.advance(10)
    await world.board.notice()


async def a_network_that_doubles(world: World) -> None:
    """Everything that a worker says arrives twice."""
    await world.hire("one")
    world.board.doubles = True
    await world.begin(LONG)


async def an_island(world: World) -> None:
    """A worker is cut off for so long that its run is given to another."""
    await world.hire("one", "two", slots=1)
    task_id = await world.begin(Speech(0, lines=300, pause=1.0))
    await world.clock.advance(3.5)
    worker_id = await world.worker_of(task_id)
    world.isolate(worker_id)
    await world.clock.advance(200)
    world.connect(worker_id)


async def a_short_island(world: World) -> None:
    """A worker is cut off while its agent says more than it may keep."""
    await world.hire("one")
    await world.begin(Speech(0, lines=200, width=64_000, pause=0.1))
    await world.clock.advance(1)
    world.isolate("one")
    await world.clock.advance(10)
    world.connect("one")


async def a_cancel_that_is_not_heard(world: World) -> None:
    """A task is cancelled and ended while its worker is away; then the worker reports that it is done."""
    await world.hire("one")
    task_id = await world.begin(Speech(0, lines=20, pause=1.0))
    await world.clock.advance(3.5)
    world.isolate("one")
    await world.cancel(task_id)
    await world.clock.advance(25)
    world.connect("one")


ALL = (
    nothing,
    a_fast_talker,
    a_cancel,
    a_crash_before_the_commit,
    a_crash_after_the_commit,
    a_crash_before_output_is_stored,
    a_crash_in_a_run,
    a_crash_after_a_cancel,
    a_cut,
    an_old_stream_that_ends_late,
    a_network_that_doubles,
    an_island,
    a_short_island,
    a_cancel_that_is_not_heard,
)
