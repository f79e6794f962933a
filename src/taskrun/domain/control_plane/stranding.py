"""Follow-ups whose one worker is gone: nobody else has the session that they go on with, so they fail at once.

Which tasks those are the store knows. Here it is only known which workers are missed, however many tasks wait for them.
One that is lost, or said goodbye, is gone at the end of that turn, unless it is back by then. One that is nowhere, for
its control plane died or this one began anew, has the time to come back that any worker has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from dataclasses import replace

from taskrun.domain.batch import ClaimStranded
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.inputs import RosterSeen
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.events import TaskMoved
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.records import WORKER_LABEL, Requirement, Task, TaskChange
from taskrun.domain.status import FailureKind
from taskrun.domain.timers import ControlPlaneTimers

#: Tasks that one turn ends: each is read with its input.
AT_ONCE = 100
#: "{0}" is the worker, "{1}" the task before.
_GONE = "the worker {0} is gone, and only it has the session of task {1}, which the task goes on with"


class Stranding:
    """Asks the store for the follow-ups of each worker that is gone."""

    def __init__(self, fleet: Fleet, timers: ControlPlaneTimers, *, shared: bool) -> None:
        """`shared`: workers that are not here may be with other control planes."""
        self._fleet, self._timers = fleet, timers
        #: Workers that are missed, and when that means that they are gone.
        self._missed: Deadlines[str] = Deadlines()
        #: The workers that other control planes have; None while that is not known.
        self._elsewhere: Set[str] | None = None if shared else frozenset()
        #: Until then any worker may still come that was with a control plane before this one. Seconds, monotonic.
        self._patient_until = -math.inf

    def next(self) -> float | None:
        """When the first may have to be given up; seconds, monotonic."""
        return None if self._elsewhere is None else self._missed.next()

    # Who is missed.

    def begin(self, turn: Turn, waiting: Iterable[Requirement]) -> None:
        """This control plane begins, and for these somebody waits."""
        self._patient_until = turn.now.mono + self._timers.grace
        for requirement in waiting:
            worker_id = dict(requirement.selector).get(WORKER_LABEL)
            if worker_id is not None:
                self._missed.arm(worker_id, self._patient_until)

    def seen(self, turn: Turn, news: RosterSeen) -> None:
        """Who is no longer with another control plane was lost there, or has lost it."""
        before, self._elsewhere = self._elsewhere or frozenset(), news.worker_ids
        for worker_id in before - news.worker_ids:
            if self._missed.of(worker_id) is None:
                self._missed.arm(worker_id, turn.now.mono + self._timers.grace)

    def lost(self, turn: Turn, worker_id: str) -> None:
        """The worker is waited for no longer."""
        self._missed.arm(worker_id, turn.now.mono)

    def waits(self, turn: Turn, task: Task) -> None:
        """The task goes into the queue. That its worker is gone may have been found while it was not in there."""
        worker_id = task.spec.holder
        if worker_id and not self._is_somewhere(worker_id) and self._missed.of(worker_id) is None:
            self._missed.arm(worker_id, max(turn.now.mono, self._patient_until))

    # What becomes of their tasks.

    def ask(self, turn: Turn) -> None:
        """Asks the store for those whose worker is gone by now."""
        if self._elsewhere is None:
            return
        while (worker_id := self._missed.pop(turn.now.mono)) is not None:
            if not self._is_somewhere(worker_id):
                turn.batch.asks.append(ClaimStranded(worker_id, AT_ONCE))

    def ended(self, turn: Turn, task: Task) -> bool:
        """Whether the worker of the claimed follow-up is gone still; then the task has its end."""
        over = not self._is_somewhere(task.spec.holder)
        if over:
            failed = _stranded(task, turn.now.utc_ms)
            turn.save(failed, TaskChange(failed.status, failure=failed.failure, error=failed.error))
            turn.events.append(TaskMoved(failed, task.status, failed.status))
        return over

    def _is_somewhere(self, worker_id: str) -> bool:
        """Whether it is here, or with another control plane, or awaited."""
        return self._fleet.of_id(worker_id) is not None or worker_id in (self._elsewhere or ())


def _stranded(task: Task, now_ms: int) -> Task:
    assert task.spec.continues is not None
    return replace(
        task,
        status=TASK.after(task.status, TaskEvent.STRANDED),
        finished_at_ms=now_ms,
        next_seq=task.next_seq + 1,
        failure=FailureKind.WORKER_LOST,
        error=_GONE.format(task.spec.holder, task.spec.continues.task_id),
    )
