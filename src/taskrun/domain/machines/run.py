"""The life of a run: one attempt at a task, on one worker.

A run is ASSIGNED when it is sent and RUNNING when its worker says so. A worker may report the end without having
reported the start: the start is then implied.
"""

from __future__ import annotations

from taskrun.domain.machines.machine import Machine
from taskrun.domain.status import RunStatus, Word


class RunMove(Word):
    """What can happen to a run."""

    SENT = "sent"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_S, _E = RunStatus, RunMove

RUN: Machine[RunStatus, RunMove] = Machine(
    "run",
    {
        (_S.PENDING, _E.SENT): _S.ASSIGNED,
        (_S.ASSIGNED, _E.STARTED): _S.RUNNING,
        (_S.ASSIGNED, _E.COMPLETED): _S.COMPLETED,
        (_S.ASSIGNED, _E.FAILED): _S.FAILED,
        (_S.ASSIGNED, _E.CANCELLED): _S.CANCELLED,
        (_S.RUNNING, _E.COMPLETED): _S.COMPLETED,
        (_S.RUNNING, _E.FAILED): _S.FAILED,
        (_S.RUNNING, _E.CANCELLED): _S.CANCELLED,
    },
)
