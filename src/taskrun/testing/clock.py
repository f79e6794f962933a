"""A clock for tests: time stands still until it is told to go on, and then it jumps from deadline to deadline."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count

from taskrun.ports.clock import Now

#: The loop has come to rest when nothing was ready for this many of its rounds, with a look at its sockets in between.
_QUIET_ROUNDS = 2
#: A loop that is busy for longer than this never comes to rest.
_MAX_ROUNDS = 100_000


class JumpingClock:
    """Implements `Clock`. Needs asyncio's own event loop.

    Time passes in `advance` only; with `autojump`, in the manner of trio's MockClock, it also jumps to the next
    deadline by itself whenever nothing else is left to run. Work in threads and other processes is not waited for.
    """

    def __init__(self, *, autojump: bool = False, mono: float = 1_000.0, utc_ms: int = 1_700_000_000_000) -> None:
        self._autojump = autojump
        self._mono = mono
        #: What the wall clock shows when the monotonic one shows 0.
        self._utc_base_ms = utc_ms - mono * 1000
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        #: How many of the loop's callbacks are only this clock waiting for the others to come to rest.
        self._waiting = 0
        self._probing = False

    def now(self) -> Now:
        """See `Clock.now`."""
        return Now(self._mono, round(self._utc_base_ms + self._mono * 1000))

    async def sleep_until(self, mono: float) -> None:
        """See `Clock.sleep_until`."""
        if mono <= self._mono:
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        heappush(self._sleepers, (mono, next(self._arrivals), woken))
        if self._autojump and not self._probing:
            self._probing = True
            self._waiting += 1
            loop.call_soon(self._probe, loop, 0)
        await woken

    async def advance(self, seconds: float) -> None:
        """Lets this much time pass. Sleepers wake in the order of their deadlines, each at its own, and whatever a
        woken one leads to is done before the next wakes. `advance(0)` only waits for that rest.
        """
        if seconds < 0:
            raise ValueError("Monotonic time never goes back.")
        until = self._mono + seconds
        await self._rest()
        while (due := self._next_due()) is not None and due <= until:
            self._jump(due)
            await self._rest()
        self._mono = max(self._mono, until)

    def shift_utc(self, ms: int) -> None:
        """Sets the wall clock forward or back, as an administrator might; monotonic time does not notice."""
        self._utc_base_ms += ms

    def _next_due(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _jump(self, due: float) -> None:
        """To the next deadline; one sleeper wakes."""
        self._mono = max(self._mono, due)
        heappop(self._sleepers)[2].set_result(None)

    async def _rest(self) -> None:
        """Returns once nothing else in the loop is ready to run."""
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            quiet = rounds = 0
            while quiet < _QUIET_ROUNDS:
                await asyncio.sleep(0)
                quiet = quiet + 1 if self._is_idle(loop) else 0
                rounds += 1
                if rounds > _MAX_ROUNDS:
                    raise RuntimeError("The event loop does not come to rest: something in it spins.")
        finally:
            self._waiting -= 1

    def _is_idle(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Called from one of this clock's own callbacks, which the loop has taken out of its list already."""
        return len(loop._ready) < self._waiting  # type: ignore[attr-defined]  # asyncio has no public word for it

    def _probe(self, loop: asyncio.AbstractEventLoop, quiet: int) -> None:
        """Runs in every round of the loop while somebody sleeps, and jumps when nothing else runs."""
        due = self._next_due()
        if due is None:
            self._probing = False
            self._waiting -= 1
            return
        quiet = quiet + 1 if self._is_idle(loop) else 0
        if quiet >= _QUIET_ROUNDS:
            self._jump(due)
            quiet = 0
        loop.call_soon(self._probe, loop, quiet)


def jump(seconds: float) -> None:
    """To the running event loop, whose clock is the real one, it is so much later from now on."""
    loop = asyncio.get_running_loop()
    time = loop.time
    setattr(loop, "time", lambda: time() + seconds)  # noqa: B010  # mypy allows nobody to assign a method
