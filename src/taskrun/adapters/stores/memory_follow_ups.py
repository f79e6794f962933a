"""Which tasks wait for the one worker that has their session, in memory."""

from __future__ import annotations

from heapq import nsmallest

from taskrun.domain.records import Task


class MemoryFollowUps:
    """Waiting follow-ups by their workers. A step costs the same however many tasks wait for others."""

    def __init__(self) -> None:
        self._by_worker: dict[str, set[str]] = {}
        #: By task, its worker.
        self._holders: dict[str, str] = {}

    def add(self, task: Task) -> None:
        """The task waits from now on; harmless for one that is no follow-up."""
        holder = task.spec.holder
        if holder:
            self._holders[task.id] = holder
            self._by_worker.setdefault(holder, set()).add(task.id)

    def remove(self, task_id: str) -> None:
        """The task waits no longer; harmless for one that is not here."""
        holder = self._holders.pop(task_id, None)
        if holder is not None:
            waiting = self._by_worker[holder]
            waiting.remove(task_id)
            if not waiting:
                del self._by_worker[holder]

    def of(self, worker_id: str, limit: int) -> list[str]:
        """Those of this worker, the oldest first. They go on waiting."""
        return nsmallest(limit, self._by_worker.get(worker_id, ()))
