"""Which tasks are of a status or an agent, in memory, in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice

from sortedcontainers import SortedList

from taskrun.domain.records import Task
from taskrun.domain.status import TaskStatus


class MemoryIndex:
    """Finds tasks by status and agent without a look at the others. Ids come in order, which makes adding cheap."""

    def __init__(self) -> None:
        self._all = SortedList()
        self._by_status = _by_status()
        self._by_agent: dict[str, dict[TaskStatus, SortedList]] = {}

    def add(self, task: Task) -> None:
        """A new task."""
        self._all.add(task.id)
        self._by_status[task.status].add(task.id)
        self._of_agent(task.spec.agent)[task.status].add(task.id)

    def move(self, task: Task, old: TaskStatus) -> None:
        """A task that had another status before."""
        for lists in (self._by_status, self._of_agent(task.spec.agent)):
            lists[old].remove(task.id)
            lists[task.status].add(task.id)

    def remove(self, task: Task) -> None:
        """The task is gone."""
        self._all.remove(task.id)
        self._by_status[task.status].remove(task.id)
        self._by_agent[task.spec.agent][task.status].remove(task.id)

    def newest(self, agent: str, status: TaskStatus | None, before: str | None, limit: int) -> list[str]:
        """The greatest ids below `before`, greatest first; "" and None match everything."""
        if agent not in self._by_agent:
            wanted = [] if agent else [self._all if status is None else self._by_status[status]]
        else:
            lists = self._by_agent[agent]
            wanted = list(lists.values()) if status is None else [lists[status]]
        return list(islice(merge(*(_below(before, ids) for ids in wanted), reverse=True), limit))

    def _of_agent(self, name: str) -> dict[TaskStatus, SortedList]:
        lists = self._by_agent.get(name)
        if lists is None:
            lists = self._by_agent[name] = _by_status()
        return lists


def _by_status() -> dict[TaskStatus, SortedList]:
    return {status: SortedList() for status in TaskStatus}


def _below(before: str | None, ids: SortedList) -> Iterator[str]:
    below: Iterator[str] = ids.irange(maximum=before, inclusive=(True, before is None), reverse=True)
    return below
