"""Where agents wait while the outbox is full."""

from __future__ import annotations

import asyncio
from collections import deque

from taskrun.domain.daemon.outbox import Outbox


class Room:
    """Lets those who wait go one after the other, each as far as the room goes.

    The order is by arrival, and who wakes up to find the room taken again keeps its place: an agent that fills the
    outbox by itself, over and over, cannot keep the others out.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Returns when the outbox is not full and it is the caller's turn."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
            while self._outbox.full:
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.appendleft(waiter)
                await waiter
        finally:
            # Whether it goes ahead or was cancelled: the turn passes on.
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            asyncio.get_running_loop().call_soon(self.open)

    def open(self) -> None:
        """There may be room: the first in the row looks."""
        if self._waiters and not self._outbox.full:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
