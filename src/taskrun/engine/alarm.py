"""One wake-up call: the earliest deadline, on whatever clock there is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taskrun.ports.clock import Clock


class Alarm:
    """Calls back when the time comes. A call that comes too early is harmless: the callee looks at the clock itself."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock, self._ring = clock, ring
        self._at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def set(self, at: float | None) -> None:
        """Rings at `at` at the latest (seconds, monotonic); an earlier call that is set already stays."""
        if at is None or (self._at is not None and self._at <= at):
            return
        self.stop()
        self._at = at
        self._task = asyncio.create_task(self._sleep(at), name="alarm")

    def stop(self) -> None:
        """Does not ring any more; doing it twice is harmless."""
        if self._task is not None:
            self._task.cancel()
        self._at = self._task = None

    async def _sleep(self, at: float) -> None:
        await self._clock.sleep_until(at)
        self._at = self._task = None
        self._ring()
