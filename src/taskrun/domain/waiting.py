"""How long a task may wait for a worker: from when, until when, and what it ends with.

A task waits from its creation until a worker is given it, and again from the end of a run until the next one: each wait
may last as long as the task says, and the rest before a retry is no part of it. That is Temporal's schedule-to-start
timeout, which counts for each attempt as well: what somebody wants to know is that nobody is there to do the work, and
that may come true before the first run or after it. A run that its worker did not take, or never started, ends no wait:
the time goes on as if there had been none, or workers that turn a task away could keep it for ever.
"""

from __future__ import annotations

from dataclasses import replace

from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.records import Run, Task, TaskSpec
from taskrun.domain.status import FailureKind

#: What ends a run of which nothing need have been executed.
_UNTOUCHED = frozenset({FailureKind.REJECTED, FailureKind.WORKER_LOST})


def first_wait_ends(spec: TaskSpec, created_at_ms: int) -> int:
    """When a new task has waited long enough, in Unix ms; 0 is never."""
    return created_at_ms + spec.queue_timeout_ms if spec.queue_timeout_ms else 0


def waits_again(task: Task, run: Run, rest: float) -> Task:
    """The task with the time for its next wait, which begins `rest` seconds after the end of this run of it."""
    timeout_ms = task.spec.queue_timeout_ms
    untouched = run.failure in _UNTOUCHED and not run.started_at_ms
    if not timeout_ms or untouched:
        return task
    return replace(task, expires_at_ms=run.finished_at_ms + round(rest * 1000) + timeout_ms)


def has_expired(task: Task, now_ms: int) -> bool:
    """Whether the waiting task has waited long enough."""
    return 0 < task.expires_at_ms <= now_ms


def waited_ms(task: Task, now_ms: int) -> int:
    """How long a task that has expired waited, the time in which runs came to nothing included."""
    return now_ms - task.expires_at_ms + task.spec.queue_timeout_ms


def expired(task: Task, now_ms: int, why: str) -> Task:
    """The waiting task at its end; `why` says what nobody had for it."""
    waited, allowed = waited_ms(task, now_ms) / 1000, task.spec.queue_timeout_ms / 1000
    return replace(
        task,
        status=TASK.after(task.status, TaskEvent.EXPIRED),
        finished_at_ms=now_ms,
        next_seq=task.next_seq + 1,
        failure=FailureKind.QUEUE_TIMEOUT,
        error=f"it waited {waited:.1f} s in the queue and may wait {allowed:.1f} s: {why}",
    )
