"""The faults, as a table. Each is told to the history only when it has really happened."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

from chaos.disk import MIB
from chaos.proxy import Way
from chaos.record import PLANE
from chaos.site import Broken, Program, Site
from chaos.targets import busiest_worker, plane_at_work, runs_of_workers, worker_at_work

#: Seconds in which a worker has something to do, or says at least that it lives.
_SOON = 5.0
#: Seconds in which what a frozen worker had is given up: several times the grace of any round.
_PATIENCE = 90.0
#: Seconds between two looks.
_LOOK = 0.05

#: Seconds, from and to.
Range = tuple[float, float]
Strike = Callable[[Site, Random, Range], Awaitable[None]]


async def kill_plane(site: Site, random: Random, length: Range) -> None:
    """`kill -9`; it starts again on the same ports and the same database."""
    await _kill_plane(site, await plane_at_work(site, random), random.uniform(*length))


async def kill_worker(site: Site, random: Random, length: Range) -> None:
    """`kill -9` of the one that has most to do; it starts again under the same name."""
    worker = await busiest_worker(site, random)
    await worker.kill()
    site.history.add("fault", fault="kill", target=worker.name)
    await asyncio.sleep(random.uniform(*length))
    await worker.start()
    await site.workers_are_here([worker.name])
    site.history.add("fault over", fault="kill", target=worker.name)


async def freeze_plane(site: Site, random: Random, length: Range) -> None:
    """SIGSTOP, and later SIGCONT."""
    await _freeze(site, await plane_at_work(site, random), random.uniform(*length))


async def freeze_plane_past_lease(site: Site, random: Random, length: Range) -> None:
    """SIGSTOP of one of several, until others have taken it for dead, and then SIGCONT."""
    # It is noticed at their next meeting, after a third of a lease.
    seconds = site.timers.lease * random.uniform(1.5, 2.0)
    await _freeze(site, await plane_at_work(site, random), seconds, "freeze past the lease")


async def freeze_worker(site: Site, random: Random, length: Range) -> None:
    """SIGSTOP, and later SIGCONT."""
    await _freeze(site, await worker_at_work(site, random), random.uniform(*length))


async def freeze_worker_past_grace(site: Site, random: Random, length: Range) -> None:
    """SIGSTOP until all that it had has been given up, so that it wakes with runs that are others'; then SIGCONT.

    Its control plane is killed first: another one takes over what it had, and waits for it in vain.
    """
    worker = await worker_at_work(site, random)
    left = site.plane_of(worker) or await plane_at_work(site, random)
    async with _frozen(site, worker, "freeze past the grace"):
        await _kill_plane(site, left, random.uniform(*length))
        # No further death here: whoever takes its runs over once more would give it the whole grace anew.
        await _given_up(site, worker)


async def cut(site: Site, random: Random, length: Range) -> None:
    """A worker's connection is cut after one of its next records, or in the middle of it."""
    worker = await worker_at_work(site, random)
    done = site.proxies[worker.name].cut_after(random.randrange(20), random.random())
    try:
        await asyncio.wait_for(done.wait(), 5)
    except TimeoutError:
        if not site.proxies[worker.name].cut():
            return
    site.history.add("fault", fault="cut", target=worker.name)


async def hold_there(site: Site, random: Random, length: Range) -> None:
    """What a worker says does not arrive; what it is told does."""
    worker = await worker_at_work(site, random)
    way = site.proxies[worker.name].there
    await _hold(site, worker, [way], "hold there", random.uniform(*length))


async def hold_back(site: Site, random: Random, length: Range) -> None:
    """What a worker is told does not arrive; what it says does."""
    worker = await worker_at_work(site, random)
    way = site.proxies[worker.name].back
    await _hold(site, worker, [way], "hold back", random.uniform(*length))


async def throttle(site: Site, random: Random, length: Range) -> None:
    """A worker's line carries 20 to 200 kB a second."""
    worker = await worker_at_work(site, random)
    proxy = site.proxies[worker.name]
    before = proxy.there.slowed
    began = asyncio.get_running_loop().time()
    proxy.there.rate = proxy.back.rate = random.randrange(20_000, 200_000)
    await asyncio.sleep(random.uniform(*length))
    if await _becomes(lambda: proxy.there.slowed > before):
        site.history.add("fault", at=began, fault="throttle", target=worker.name)
    proxy.there.rate = proxy.back.rate = 0


async def nearly_fill_disk(site: Site, random: Random, length: Range) -> None:
    """So little is left that no new task is taken."""
    await _fill(site, "nearly full disk", 64 * MIB, random.uniform(*length))


async def fill_disk(site: Site, random: Random, length: Range) -> None:
    """Nothing is left: not even what is under way can be stored."""
    await _fill(site, "full disk", 0, random.uniform(*length))


#: By the name of its counter.
FAULTS: dict[str, Strike] = {
    "kill: control plane": kill_plane,
    "kill: worker": kill_worker,
    "freeze: control plane": freeze_plane,
    "freeze past the lease: control plane": freeze_plane_past_lease,
    "freeze: worker": freeze_worker,
    "freeze past the grace: worker": freeze_worker_past_grace,
    "cut: worker": cut,
    "hold there: worker": hold_there,
    "hold back: worker": hold_back,
    "throttle: worker": throttle,
    "nearly full disk: control plane": nearly_fill_disk,
    "full disk: control plane": fill_disk,
}


def _losers(site: Site, plane: Program) -> dict[str, list[str]]:
    """Who loses the control plane while others are there. One that is alone is everybody's."""
    return {"workers": site.workers_of(plane)} if len(site.planes) > 1 else {}


async def _kill_plane(site: Site, plane: Program, seconds: float) -> None:
    lose = _losers(site, plane)
    await plane.kill()
    site.history.add("fault", fault="kill", target=plane.name, **lose)
    await asyncio.sleep(seconds)
    await site.start_plane(plane)
    site.history.add("fault over", fault="kill", target=plane.name)


async def _given_up(site: Site, worker: Program) -> None:
    """Returns when the worker has no run any more. Raises `Broken` if that takes far too long."""
    try:
        async with asyncio.timeout(_PATIENCE):
            while worker.name in await runs_of_workers(site):  # noqa: ASYNC110  # the state is in another process
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        raise Broken(f"{worker.name} is frozen, and its runs were given to nobody within {_PATIENCE:g} s") from None


async def _becomes(holds: Callable[[], bool]) -> bool:
    """Whether it is so soon: a fault that meets nothing proves nothing."""
    for _ in range(int(_SOON / _LOOK)):
        if holds():
            return True
        await asyncio.sleep(_LOOK)
    return False


async def _freeze(site: Site, program: Program, seconds: float, fault: str = "freeze") -> None:
    async with _frozen(site, program, fault):
        await asyncio.sleep(seconds)


@asynccontextmanager
async def _frozen(site: Site, program: Program, fault: str) -> AsyncIterator[None]:
    lose = _losers(site, program) if program.name in site.planes else {}
    program.tell(signal.SIGSTOP)
    while not program.is_frozen():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    site.history.add("fault", fault=fault, target=program.name, **lose)
    yield
    program.tell(signal.SIGCONT)
    site.history.add("fault over", fault=fault, target=program.name)


async def _hold(site: Site, worker: Program, ways: list[Way], fault: str, seconds: float) -> None:
    before = sum(way.held for way in ways)
    for way in ways:
        way.hold()
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    if await _becomes(lambda: sum(way.held for way in ways) > before):
        site.history.add("fault", at=began, fault=fault, target=worker.name)
        for way in ways:
            way.free()
        site.history.add("fault over", fault=fault, target=worker.name)
    for way in ways:
        way.free()


async def _fill(site: Site, fault: str, leave: int, seconds: float) -> None:
    assert site.disk is not None, "this round has no small disk"
    site.disk.fill(leave)
    site.history.add("fault", fault=fault, target=PLANE)
    # What is written meanwhile frees a little and takes it again.
    for _ in range(20):
        await asyncio.sleep(seconds / 20)
        site.disk.fill(leave)
    site.disk.clear()
    site.history.add("fault over", fault=fault, target=PLANE)
