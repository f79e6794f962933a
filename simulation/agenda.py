"""What happens next: simulated time, and everything that is to happen in it."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Act = Callable[..., None]


class Agenda:
    """Events in the order of their time; those of one moment in the order in which they were put in."""

    def __init__(self) -> None:
        #: Seconds since the beginning of the world.
        self.time = 0.0
        #: Events so far.
        self.events = 0
        self._heap: list[tuple[float, int, Act, tuple[Any, ...]]] = []
        self._count = 0

    def at(self, time: float, act: Act, *facts: Any) -> None:
        """`act(*facts)` at this time, or now if that is over."""
        self._count += 1
        heappush(self._heap, (time, self._count, act, facts))

    def after(self, seconds: float, act: Act, *facts: Any) -> None:
        """`act(*facts)` so much later."""
        self.at(self.time + seconds, act, *facts)

    def run(self, until: float) -> None:
        """Everything up to this time."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            time, _, act, facts = heappop(heap)
            if time > self.time:
                self.time = time
            self.events += 1
            act(*facts)
        self.time = max(self.time, until)
