"""Who may not wait for ever, in memory."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

#: A heap smaller than this is not worth tidying up.
_SMALL = 64


class MemoryExpiry:
    """Tasks by the time at which they have waited long enough. Every step is O(log n), spread over the steps.

    The heap may name tasks that have left: these go when they surface, or when they become the most of it.
    """

    def __init__(self) -> None:
        #: By id, when (Unix ms).
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def add(self, task_id: str, expires_at_ms: int) -> None:
        """The task waits until then; it must not be here already."""
        self._due[task_id] = expires_at_ms
        heappush(self._heap, (expires_at_ms, task_id))
        if len(self._heap) > _SMALL + 2 * len(self._due):
            self._heap = [(at, each) for each, at in self._due.items()]
            heapify(self._heap)

    def remove(self, task_id: str) -> None:
        """The task waits no longer; harmless for one that is not here."""
        self._due.pop(task_id, None)

    def first(self, until_ms: int, limit: int) -> list[str]:
        """The first to expire of those that have by `until_ms`; of equals the least id first."""
        found: list[tuple[int, str]] = []
        while len(found) < limit and 0 < self.next_ms() <= until_ms:
            entry = heappop(self._heap)
            # One that left and came back with the same time is in here twice.
            if entry not in found[-1:]:
                found.append(entry)
        for entry in found:
            heappush(self._heap, entry)
        return [task_id for _, task_id in found]

    def next_ms(self) -> int:
        """When the first has waited long enough; 0 is never."""
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else 0
