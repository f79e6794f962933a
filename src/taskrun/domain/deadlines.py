"""Many deadlines, one at a time for each key, and the next that falls due."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

#: A heap smaller than this is not worth tidying up.
_SMALL = 1024


class Deadlines(Generic[Key]):
    """Arms, moves and disarms in O(log n); times are seconds on a monotonic clock.

    A disarmed entry stays in the heap until it surfaces, or until most of the heap is such entries.
    """

    def __init__(self) -> None:
        self._due: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def arm(self, key: Key, at: float) -> None:
        """`key` falls due at `at`, and at no other time it had before."""
        self._count += 1
        self._due[key] = (at, self._count)
        heappush(self._heap, (at, self._count, key))
        if len(self._heap) > _SMALL and len(self._heap) > 4 * len(self._due):
            self._heap = [(at, count, key) for key, (at, count) in self._due.items()]
            heapify(self._heap)

    def disarm(self, key: Key) -> None:
        """`key` does not fall due; harmless if it was not armed."""
        self._due.pop(key, None)

    def of(self, key: Key) -> float | None:
        """When this falls due, if it does."""
        armed = self._due.get(key)
        return None if armed is None else armed[0]

    def next(self) -> float | None:
        """When the earliest falls due."""
        heap = self._heap
        while heap:
            at, count, key = heap[0]
            if self._due.get(key) == (at, count):
                return at
            heappop(heap)
        return None

    def pop(self, now: float) -> Key | None:
        """Takes out the earliest key that is due by `now`."""
        at = self.next()
        if at is None or at > now:
            return None
        key = heappop(self._heap)[2]
        del self._due[key]
        return key
