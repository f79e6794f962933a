"""The tasks that wait: how they are taken back, and go out to workers.

The queue itself is the store. What is not in the hands of a worker has to be claimed there before anything is decided
about it, so that no two deciders ever hold one task.
"""

from __future__ import annotations

from dataclasses import replace

from taskrun.domain.batch import (
    CancelRelayed,
    ClaimNext,
    ClaimTask,
    RelayCancel,
    StrandedClaimed,
    TaskClaimed,
    TasksClaimed,
)
from taskrun.domain.control_plane.expiry import Expiry
from taskrun.domain.control_plane.inputs import CancelTask, CancelWanted, QueueGrew, QueueSeen, RoomMade
from taskrun.domain.control_plane.rest import Rest
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.stranding import Stranding
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import FailedPrecondition, NotFound, TaskRunError
from taskrun.domain.events import TaskMoved
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.records import Requirement, Task, TaskChange
from taskrun.domain.scheduler import Claim, Scheduler


class Queue:
    """Claims tasks when there is something to do about them."""

    def __init__(self, scheduler: Scheduler[int], runs: Runs, rest: Rest, expiry: Expiry, stranding: Stranding) -> None:
        self._scheduler, self._runs, self._rest = scheduler, runs, rest
        self._expiry, self._stranding = expiry, stranding
        #: Cancels that wait for their task to be claimed. One whose list is empty is wanted elsewhere.
        self._cancels: dict[str, list[CancelTask]] = {}
        #: Cancels of which word was left for another control plane.
        self._relayed: dict[str, list[CancelTask]] = {}

    # Cancelling.

    def cancel(self, turn: Turn, request: CancelTask) -> None:
        """A running task's worker is told; any other has to be claimed first."""
        if not self._cancel_ours(turn, request.task_id, [request]):
            self._claim_to_cancel(turn, request.task_id).append(request)

    def wanted(self, turn: Turn, news: CancelWanted) -> None:
        """The same, with nobody to answer. If others have the task by now, it is for them."""
        if not self._cancel_ours(turn, news.task_id, []):
            self._claim_to_cancel(turn, news.task_id)

    def task_claimed(self, turn: Turn, answer: TaskClaimed) -> None:
        """The task that somebody wants cancelled: ours now, gone to a worker meanwhile, another's, or at its end."""
        task_id, task = answer.ask.task_id, answer.task
        requests = self._cancels.pop(task_id, None)
        if requests is None or self._cancel_ours(turn, task_id, requests):
            # Without requests it was claimed in order to rest.
            return
        if task is not None and answer.owned:
            self._scheduler.unwait(task.requirement)
            self._reply(turn, requests, self._cancel_claimed(turn, task))
        elif task is None or task.status.is_terminal:
            self._reply(turn, requests, _nothing_to_cancel(task_id, task))
        elif not answer.elsewhere:
            # A claim that was under way had it and gave it back: it waits again.
            self._claim_to_cancel(turn, task_id).extend(requests)
        elif requests:
            self._relayed.setdefault(task_id, []).extend(requests)
            turn.batch.asks.append(RelayCancel(task_id))

    def cancel_relayed(self, turn: Turn, answer: CancelRelayed) -> None:
        """Whoever has the task will cancel it."""
        task_id, task = answer.ask.task_id, answer.task
        requests = self._relayed.pop(task_id, [])
        if task is None or task.status.is_terminal:
            self._reply(turn, requests, _nothing_to_cancel(task_id, task))
        else:
            self._reply(turn, requests, replace(task, cancel_requested=True))

    def _cancel_ours(self, turn: Turn, task_id: str, requests: list[CancelTask]) -> bool:
        """Cancels a task that is here: with a worker, or at rest."""
        active, resting = self._runs.of_task(task_id), self._rest.end(task_id)
        if active is not None:
            task = self._runs.cancel(turn, active)
            for request in requests:
                turn.answer(request, task)
        elif resting is not None:
            self._reply(turn, requests, self._cancel_claimed(turn, resting))
        return active is not None or resting is not None

    def _claim_to_cancel(self, turn: Turn, task_id: str) -> list[CancelTask]:
        """Claims the task, once. Returns those who wait for that."""
        requests = self._cancels.get(task_id)
        if requests is None:
            requests = self._cancels[task_id] = []
            turn.batch.asks.append(ClaimTask(task_id))
        return requests

    def _reply(self, turn: Turn, requests: list[CancelTask], outcome: object) -> None:
        turn.replies.extend((request.reply, outcome) for request in requests)

    def _cancel_claimed(self, turn: Turn, task: Task) -> Task:
        cancelled = replace(
            task,
            status=TASK.after(task.status, TaskEvent.CANCELLED),
            cancel_requested=True,
            finished_at_ms=turn.now.utc_ms,
            next_seq=task.next_seq + 1,
        )
        turn.save(cancelled, TaskChange(cancelled.status, cancelled.cancel_requested))
        turn.events.append(TaskMoved(cancelled, task.status, cancelled.status))
        return cancelled

    # Going out.

    def seen(self, turn: Turn, news: QueueSeen) -> None:
        """What others put in is claimed as well, and ends when it has waited too long."""
        self._scheduler.recount(news.waiting)
        self._scheduler.reopen()
        self._expiry.expect(turn, news.expires_at_ms)

    def grew(self, turn: Turn, news: QueueGrew) -> None:
        """Others put this in, and may claim it first."""
        for requirement, count in news.more.items():
            self._scheduler.wait(requirement, count)

    def room_made(self, turn: Turn, news: RoomMade) -> None:
        """Runs of others have ended."""
        self._scheduler.reopen()

    def ask(self, turn: Turn) -> None:
        """Asks the store for tasks that wait in vain or too long, and then for tasks for the slots that are waited
        for."""
        self._stranding.ask(turn)
        self._expiry.ask(turn)
        self.claim(turn)

    def claim(self, turn: Turn) -> None:
        """Asks the store for tasks for the slots that are waited for."""
        turn.batch.asks.extend(
            ClaimNext(claim, claim.requirements, claim.limit, claim.limits) for claim in self._scheduler.claims()
        )

    def tasks_claimed(self, turn: Turn, answer: TasksClaimed) -> None:
        """The next tasks, for the worker whose slots were set aside, or whoever has one if it is gone."""
        claim = answer.ask.ref
        assert isinstance(claim, Claim)
        for task in answer.tasks:
            self._scheduler.unwait(task.requirement)
        if answer.full:
            self._scheduler.shut(answer.full)
        elif len(answer.tasks) < claim.limit:
            for requirement in claim.requirements:
                self._scheduler.dry(requirement)
        self._scheduler.settle(claim)
        for task in answer.tasks:
            if not self._expiry.ended(turn, task):
                self._give_out(turn, task, self._slot_of(claim, task.requirement))

    def stranded(self, turn: Turn, answer: StrandedClaimed) -> None:
        """Follow-ups whose one worker is gone, unless it has come back since."""
        for task in answer.tasks:
            self._scheduler.unwait(task.requirement)
        if len(answer.tasks) == answer.ask.limit:
            self._stranding.lost(turn, answer.ask.worker_id)
        for task in answer.tasks:
            if not (self._stranding.ended(turn, task) or self._expiry.ended(turn, task)):
                self._give_out(turn, task, self._scheduler.place(task.requirement))

    def rested(self, turn: Turn) -> None:
        """Tasks whose time for another attempt has come."""
        while (task := self._rest.over(turn.now.mono)) is not None:
            if not self._expiry.ended(turn, task):
                self._give_out(turn, task, self._scheduler.place(task.requirement))

    def _slot_of(self, claim: Claim[int], requirement: Requirement) -> int | None:
        return claim.key if self._scheduler.take(claim.key, requirement) else self._scheduler.replace(requirement)

    def _give_out(self, turn: Turn, task: Task, session: int | None) -> None:
        """The task is claimed; without a worker for it it goes back into the queue."""
        if session is None:
            turn.batch.tasks[task.id] = task
        self._runs.offer(turn, task, session, waited_ms=max(0, turn.now.utc_ms - task.waits_since_ms))


def _nothing_to_cancel(task_id: str, task: Task | None) -> TaskRunError:
    if task is None:
        return NotFound(f"There is no task {task_id}.")
    return FailedPrecondition(f"The task has ended already: it is {task.status.value}.")
