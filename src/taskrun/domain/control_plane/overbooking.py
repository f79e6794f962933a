"""New tasks that were given to workers at once, and find no room: others have used up what a limit on runs allows.

Only the store knows what runs elsewhere. It says so before anything is stored, so that nothing was said either, and the
turn is corrected before it is put again: these tasks wait, as if no slot had been free.
"""

from __future__ import annotations

from collections.abc import Collection

from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.events import DomainEvent, RunAssigned, TaskMoved
from taskrun.domain.records import Task
from taskrun.domain.status import TaskStatus


def let_wait(turn: Turn, task_ids: Collection[str]) -> None:
    """The turn, as if these tasks, which run by what it says, had been put into the queue."""
    for task_id in task_ids:
        placed = turn.placed.pop(task_id)
        del turn.batch.running[task_id], turn.batch.story[task_id][1:]
        turn.batch.counted.pop(task_id, None)
        turn.batch.tasks[task_id] = placed.task
        if placed.room:
            turn.batch.waiting[task_id] = placed.room
    turn.call_off(task_ids)
    turn.replies = [(reply, _waiting(turn, answer, task_ids)) for reply, answer in turn.replies]
    turn.events = [event for event in turn.events if not _begins(event, task_ids)]


def _waiting(turn: Turn, answer: object, task_ids: Collection[str]) -> object:
    """The answer to who asked for the task: what it is told is the task as it is stored."""
    return turn.batch.tasks[answer.id] if isinstance(answer, Task) and answer.id in task_ids else answer


def _begins(event: DomainEvent, task_ids: Collection[str]) -> bool:
    if isinstance(event, TaskMoved):
        return event.new is TaskStatus.RUNNING and event.task.id in task_ids
    return isinstance(event, RunAssigned) and event.task_id in task_ids
