"""Ends of tasks that are overruled: somebody had been told, by another control plane, that the task is cancelled.

Word of a cancel may come between the moment in which an end is decided and that in which it is stored. Then nothing is
stored, so that nothing was said either, and the turn is corrected before it is put again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.events import DomainEvent, TaskExpired, TaskMoved
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.records import StoryEntry, Task, TaskChange


def overrule(turn: Turn, task_ids: Iterable[str]) -> None:
    """These tasks, which end in this turn, are CANCELLED in place of what it says; their runs end as they do."""
    for task_id in task_ids:
        last = next(each for each in reversed(turn.events) if isinstance(each, TaskMoved) and each.task.id == task_id)
        cancelled = _cancelled(last)
        turn.batch.tasks[task_id] = cancelled
        story = turn.batch.story[task_id]
        story[-1] = _told(story[-1], cancelled)
        turn.events = [_corrected(event, last, cancelled) for event in turn.events if not _expired(event, task_id)]


def _cancelled(end: TaskMoved) -> Task:
    assert end.old is not None
    status = TASK.after(end.old, TaskEvent.CANCELLED)
    return replace(end.task, status=status, cancel_requested=True, failure=None, error="")


def _told(entry: StoryEntry, cancelled: Task) -> StoryEntry:
    assert isinstance(entry.body, TaskChange)
    return replace(entry, body=TaskChange(cancelled.status, cancelled.cancel_requested, entry.body.run))


def _corrected(event: DomainEvent, last: TaskMoved, cancelled: Task) -> DomainEvent:
    return TaskMoved(cancelled, last.old, cancelled.status) if event is last else event


def _expired(event: DomainEvent, task_id: str) -> bool:
    return isinstance(event, TaskExpired) and event.task.id == task_id
