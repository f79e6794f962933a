"""How long a turn lets others go first, so that it takes many inputs together where many come."""

from __future__ import annotations

import asyncio
from collections.abc import Sized

#: Rounds of the event loop. The least costs an idle system some microseconds; the most bounds what a burst's last
#: input waits for when nothing follows it.
LEAST = 2
MOST = 32
#: Inputs after which more of them make a turn hardly cheaper.
ENOUGH = 64


class Patience:
    """Grows while inputs keep coming and shrinks when none did: natural batching without a timer.

    gRPC hands over one call in a few rounds of the loop, however many it has: who takes what is there after one round
    takes one at a time, and pays a turn, a commit and a message to a worker for each.
    """

    def __init__(self) -> None:
        self._rounds = LEAST

    async def gather(self, inbox: Sized) -> None:
        """Lets others go first for some rounds; ends at once when there is enough to do."""
        found = len(inbox)
        for _ in range(self._rounds):
            if len(inbox) >= ENOUGH:
                break
            await asyncio.sleep(0)
        came = len(inbox) > found
        self._rounds = min(2 * self._rounds, MOST) if came else max(self._rounds // 2, LEAST)
