"""Tasks that have waited for longer than they may.

Which tasks those are the store knows, and when there will be another. Here is only that moment, however many wait. What
is to go out and what has expired is taken out of the queue by the same store, each task once: so it has one fate.
"""

from __future__ import annotations

import math

from taskrun.domain.batch import ClaimExpired, ExpiredClaimed
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.events import TaskExpired, TaskMoved
from taskrun.domain.records import Task, TaskChange
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.shortage import shortage
from taskrun.domain.waiting import expired, has_expired, waited_ms

#: Tasks that one turn ends: each is read with its input.
AT_ONCE = 100


class Expiry:
    """Asks for tasks when the first of them has waited long enough, one ask at a time."""

    def __init__(self, scheduler: Scheduler[int]) -> None:
        self._scheduler = scheduler
        #: Seconds, monotonic. Early is harmless: the store is asked by the wall clock, and says when to come again.
        self._due = math.inf
        self._asked = False

    def next(self) -> float | None:
        """When to ask; seconds, monotonic."""
        return None if self._asked or self._due == math.inf else self._due

    def expect(self, turn: Turn, expires_at_ms: int) -> None:
        """A task in the queue expires at this time (Unix ms; 0 is never)."""
        if expires_at_ms:
            self._due = min(self._due, turn.now.mono + (expires_at_ms - turn.now.utc_ms) / 1000)

    def ask(self, turn: Turn) -> None:
        """Asks the store, if it is time."""
        if not self._asked and self._due <= turn.now.mono:
            self._due, self._asked = math.inf, True
            turn.batch.asks.append(ClaimExpired(turn.now.utc_ms, AT_ONCE))

    def claimed(self, turn: Turn, answer: ExpiredClaimed) -> None:
        """These have waited too long; and when the next one will have."""
        self._asked = False
        self.expect(turn, answer.next_ms)
        for task in answer.tasks:
            self._scheduler.unwait(task.requirement)
            self._end(turn, task)

    def ended(self, turn: Turn, task: Task) -> bool:
        """Whether the claimed task has waited too long to be given out; then it has its end."""
        over = has_expired(task, turn.now.utc_ms)
        if over:
            self._end(turn, task)
        return over

    def _end(self, turn: Turn, task: Task) -> None:
        now_ms = turn.now.utc_ms
        requirement = task.requirement
        held = self._scheduler.holding(requirement)
        why = shortage(requirement, *self._scheduler.serving(requirement), held.story if held else "")
        failed = expired(task, now_ms, why)
        turn.save(failed, TaskChange(failed.status, failure=failed.failure, error=failed.error))
        turn.events.append(TaskExpired(failed, waited_ms(task, now_ms)))
        turn.events.append(TaskMoved(failed, task.status, failed.status))
