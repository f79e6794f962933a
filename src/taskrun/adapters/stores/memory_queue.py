"""The tasks that wait, in memory: one line for each requirement, and the next of several lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush, heapreplace

from taskrun.adapters.stores.memory_expiry import MemoryExpiry
from taskrun.adapters.stores.memory_follow_ups import MemoryFollowUps
from taskrun.domain.batch import Backlog
from taskrun.domain.records import Requirement, Share, Task

#: A heap smaller than this is not worth tidying up.
_SMALL = 64

#: Least first: by priority, then age, which is the order of ids.
_Rank = tuple[int, str]
#: A requirement in a form that hashes fast.
_LineKey = tuple[str, tuple[tuple[str, str], ...], Share]


class _Line:
    """Who waits for one requirement. Every step is O(log n), spread over the steps.

    Both heaps may name tasks that have left: these go when they surface, or when they become the most of a heap.
    """

    __slots__ = ("_ages", "_ranks", "_since", "requirement")

    def __init__(self, requirement: Requirement) -> None:
        self.requirement = requirement
        #: By id, since when (Unix ms).
        self._since: dict[str, int] = {}
        self._ranks: list[_Rank] = []
        self._ages: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._since

    def add(self, task: Task) -> None:
        since = task.waits_since_ms
        self._since[task.id] = since
        heappush(self._ranks, _rank(task))
        heappush(self._ages, (since, task.id))

    def remove(self, task_id: str) -> None:
        since = self._since
        del since[task_id]
        ranks, ages = self._ranks, self._ages
        while ages and since.get(ages[0][1]) != ages[0][0]:
            heappop(ages)
        most = _SMALL + 2 * len(since)
        if len(ages) > most:
            self._ages = [(at, task_id) for task_id, at in since.items()]
            heapify(self._ages)
        if len(ranks) > most:
            self._ranks = [rank for rank in set(ranks) if rank[1] in since]
            heapify(self._ranks)

    def first(self) -> _Rank:
        """Whose turn it is. The line must not be empty."""
        ranks = self._ranks
        while ranks[0][1] not in self._since:
            heappop(ranks)
        return ranks[0]

    def ahead(self, rank: _Rank, most: int) -> int:
        """How many go before this rank, counted up to `most`.

        A heap's children are not less than their parent: from its root only those are looked at that go before, and
        those that have left, which are never many more than those that wait.
        """
        ranks, waiting, below = self._ranks, self._since, [0]
        # One that left and came back is in the heap twice.
        found: set[str] = set()
        while below and len(found) < most:
            at = below.pop()
            if at < len(ranks) and ranks[at] < rank:
                below += (2 * at + 1, 2 * at + 2)
                if ranks[at][1] in waiting:
                    found.add(ranks[at][1])
        return len(found)

    def backlog(self) -> Backlog:
        """The line must not be empty."""
        return Backlog(len(self._since), self._ages[0][0])


def _rank(task: Task) -> _Rank:
    return task.rank, task.id


class MemoryQueue:
    """Lines by requirement. One that is empty is forgotten."""

    def __init__(self) -> None:
        self._lines: dict[_LineKey, _Line] = {}
        self._expiry = MemoryExpiry()
        self._follow_ups = MemoryFollowUps()

    def add(self, task: Task) -> None:
        """The task waits from now on; it must not be waiting already."""
        key = (task.spec.agent, task.spec.selector, task.share)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(task.requirement)
        line.add(task)
        if task.expires_at_ms:
            self._expiry.add(task.id, task.expires_at_ms)
        self._follow_ups.add(task)

    def remove(self, task: Task) -> bool:
        """The task waits no longer. False if it did not wait."""
        key = (task.spec.agent, task.spec.selector, task.share)
        line = self._lines.get(key)
        if line is None or task.id not in line:
            return False
        self._take(key, line, task.id)
        return True

    def take(self, requirements: Iterable[Requirement], limit: int) -> list[str]:
        """Takes out the next tasks of any of these requirements, at most `limit`: by priority, then age."""
        lines = self._lines
        keys = dict.fromkeys(tuple(requirement) for requirement in requirements)
        heads = [(lines[key].first(), key) for key in keys if key in lines]
        heapify(heads)
        taken: list[str] = []
        while heads and len(taken) < limit:
            (_, task_id), key = heads[0]
            line = lines[key]
            self._take(key, line, task_id)
            taken.append(task_id)
            if line:
                heapreplace(heads, (line.first(), key))
            else:
                heappop(heads)
        return taken

    def expired(self, until_ms: int, limit: int) -> list[str]:
        """Who has waited long enough at `until_ms`, the first to expire first. They go on waiting."""
        return self._expiry.first(until_ms, limit)

    def expires_at_ms(self) -> int:
        """When the next one will have; 0 is never."""
        return self._expiry.next_ms()

    def stranded(self, worker_id: str, limit: int) -> list[str]:
        """Who goes on with a session of this worker, the oldest first. They go on waiting."""
        return self._follow_ups.of(worker_id, limit)

    def ahead(self, task: Task, most: int) -> int | None:
        """How many of its line go before the task, counted up to `most`. None if it does not wait."""
        line = self._lines.get((task.spec.agent, task.spec.selector, task.share))
        return None if line is None or task.id not in line else line.ahead(_rank(task), most)

    def backlog(self) -> Mapping[Requirement, Backlog]:
        """What waits, for each requirement with at least one waiting task."""
        return {line.requirement: line.backlog() for line in self._lines.values()}

    def _take(self, key: _LineKey, line: _Line, task_id: str) -> None:
        line.remove(task_id)
        self._expiry.remove(task_id)
        self._follow_ups.remove(task_id)
        if not line:
            del self._lines[key]
