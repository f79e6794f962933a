"""Tasks between two attempts: they wait, but not in the queue, until their time has come."""

from __future__ import annotations

from taskrun.domain.batch import ClaimTask
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.records import Task

#: Tasks that rest at the same time. They are kept here with their inputs; one more goes back into the queue at once.
MOST = 1000


class Rest:
    """A task that rests is claimed in the commit that lets it wait again, so that nobody gives it out.

    After a restart it is in the queue like any other: the rest of its rest is forgotten, not the task.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._due: Deadlines[str] = Deadlines()

    def begin(self, turn: Turn, task: Task, seconds: float) -> bool:
        """The waiting task rests for so long. False if it need not, or cannot."""
        if seconds <= 0 or len(self._tasks) >= MOST:
            return False
        self._tasks[task.id] = task
        self._due.arm(task.id, turn.now.mono + seconds)
        turn.batch.asks.append(ClaimTask(task.id))
        return True

    def next(self) -> float | None:
        """When the first has rested; seconds, monotonic."""
        return self._due.next()

    def until(self, task_id: str) -> float | None:
        """Until when the task rests, if it does so here; seconds, monotonic."""
        return self._due.of(task_id)

    def over(self, mono: float) -> Task | None:
        """A task that has rested by now. It is claimed still."""
        task_id = self._due.pop(mono)
        return None if task_id is None else self._tasks.pop(task_id)

    def end(self, task_id: str) -> Task | None:
        """The task, if it rests: it does so no longer. It is claimed still."""
        self._due.disarm(task_id)
        return self._tasks.pop(task_id, None)
