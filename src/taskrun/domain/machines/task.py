"""The life of a task.

A task waits (PENDING) until a worker gets a run of it (RUNNING). The run's end is the task's end, unless it may be
tried again: then the task waits once more. One that waits for longer than it may, or for a worker that is gone, has
FAILED without a run that says so. A cancelled task ends CANCELLED whatever its run still reports.
"""

from __future__ import annotations

from taskrun.domain.machines.machine import Machine
from taskrun.domain.status import TaskStatus, Word


class TaskEvent(Word):
    """What can happen to a task."""

    ASSIGNED = "assigned"
    EXPIRED = "expired"
    #: The one worker that it could go to is gone.
    STRANDED = "stranded"
    REQUEUED = "requeued"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_S, _E = TaskStatus, TaskEvent

TASK: Machine[TaskStatus, TaskEvent] = Machine(
    "task",
    {
        (_S.PENDING, _E.ASSIGNED): _S.RUNNING,
        (_S.PENDING, _E.EXPIRED): _S.FAILED,
        (_S.PENDING, _E.STRANDED): _S.FAILED,
        (_S.PENDING, _E.CANCELLED): _S.CANCELLED,
        (_S.RUNNING, _E.REQUEUED): _S.PENDING,
        (_S.RUNNING, _E.COMPLETED): _S.COMPLETED,
        (_S.RUNNING, _E.FAILED): _S.FAILED,
        (_S.RUNNING, _E.CANCELLED): _S.CANCELLED,
    },
)
