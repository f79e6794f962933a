"""Which tasks have ended, in memory, the first to end first; and about how many bytes all tasks take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from taskrun.domain.batch import Retention
from taskrun.domain.records import OutputSegment, RunMessage, StoryEntry, Task

#: Ended tasks that one look passes over because their keys may be asked for.
_MOST_KEPT = 1000
#: About what a task, and an entry of a story, take beside their texts.
_TASK, _ENTRY = 2000, 300


class MemoryEnded:
    """Knows who can go, by the order of ending, without a look at the others."""

    def __init__(self) -> None:
        self._ended: dict[str, None] = {}
        #: About what the store takes.
        self.bytes = 0

    def note(self, task: Task) -> None:
        """The task was saved."""
        if task.status.is_terminal:
            self._ended[task.id] = None
        else:
            self._ended.pop(task.id, None)

    def remove(self, task_id: str) -> None:
        """The task is gone."""
        del self._ended[task_id]

    def removable(self, tasks: Mapping[str, Task], retention: Retention, limit: int) -> Iterator[Task]:
        """Who need not be kept, at most `limit`. Each must be gone before the next is asked for."""
        for task_id in list(islice(self._ended, limit + _MOST_KEPT)):
            task = tasks[task_id]
            too_much = 0 < retention.max_bytes < self.bytes
            if limit == 0 or not (too_much or task.finished_at_ms < retention.ended_before_ms):
                return
            if not retention.keeps(task):
                yield task
                limit -= 1


def size_of_task(task: Task) -> int:
    """About how many bytes the task takes without its story."""
    return _TASK + len(task.spec.input_json)


def size_of_story(story: Iterable[StoryEntry]) -> int:
    """About how many bytes these entries take."""
    size = 0
    for entry in story:
        body = entry.body
        size += _ENTRY
        if type(body) is OutputSegment:
            size += sum(map(len, body.contents))
        elif type(body) is RunMessage:
            size += len(body.content)
    return size
