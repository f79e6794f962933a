"""The machine's clocks."""

from __future__ import annotations

import asyncio
import time

from taskrun.ports.clock import Now


class SystemClock:
    """Implements `Clock` with the machine's monotonic clock and its wall clock."""

    def now(self) -> Now:
        """See `Clock.now`."""
        return Now(time.monotonic(), time.time_ns() // 1_000_000)

    async def sleep_until(self, mono: float) -> None:
        """See `Clock.sleep_until`."""
        # A loop's timer may fire early, by up to the resolution of its clock: hence the loop.
        while (left := mono - time.monotonic()) > 0:  # noqa: ASYNC110  # time itself is what is waited for
            await asyncio.sleep(left)
