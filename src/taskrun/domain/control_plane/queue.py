"""The tasks that wait: how they come in, are taken back, and go out to workers.

The queue itself is the store. What is not in the hands of a worker has to be claimed there before anything is decided
about it, so that no two deciders ever hold one task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from taskrun.domain.batch import ClaimNext, ClaimTask, FindKey, KeyFound, TaskClaimed, TasksClaimed
from taskrun.domain.control_plane.expiry import Expiry
from taskrun.domain.control_plane.inputs import CancelTask, CreateTask, ReplyTo
from taskrun.domain.control_plane.rest import Rest
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import AlreadyExists, FailedPrecondition, NotFound
from taskrun.domain.events import TaskMoved
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.records import Requirement, Task, TaskChange
from taskrun.domain.scheduler import Claim, Scheduler
from taskrun.domain.status import TaskStatus
from taskrun.domain.waiting import first_wait_ends

#: How long an idempotency key is remembered.
KEY_LIFE_MS = 24 * 3600 * 1000


class Queue:
    """Takes tasks in and claims them back when there is something to do about them."""

    def __init__(
        self, scheduler: Scheduler[int], runs: Runs, rest: Rest, expiry: Expiry, new_id: Callable[[], str]
    ) -> None:
        self._scheduler, self._runs, self._rest, self._expiry, self._new_id = scheduler, runs, rest, expiry, new_id
        #: Creates that wait to hear whether their key was used before, by caller and key.
        self._keyed: dict[tuple[str, str], list[CreateTask]] = {}
        #: Cancels that wait for their task to be claimed.
        self._cancels: dict[str, list[ReplyTo]] = {}

    # Creating.

    def create(self, turn: Turn, request: CreateTask) -> None:
        """A new task, unless its key has made one already."""
        key = request.spec.idempotency_key
        if not key:
            self._accept(turn, request)
            return
        waiting = self._keyed.setdefault((request.created_by, key), [])
        waiting.append(request)
        if len(waiting) == 1:
            turn.batch.asks.append(FindKey(request.created_by, key, turn.now.utc_ms - KEY_LIFE_MS))

    def key_found(self, turn: Turn, answer: KeyFound) -> None:
        """The creates with this key can be answered: all get one task, if they ask for the same."""
        task = answer.task
        for request in self._keyed.pop((answer.ask.caller, answer.ask.key)):
            if task is None:
                task = self._accept(turn, request)
            elif task.spec == request.spec:
                turn.replies.append((request.reply, task))
            else:
                refusal = AlreadyExists(f"The idempotency key was used for another request, task {task.id}.")
                turn.replies.append((request.reply, refusal))

    def _accept(self, turn: Turn, request: CreateTask) -> Task:
        spec, now_ms = request.spec, turn.now.utc_ms
        task = Task(
            self._new_id(),
            spec,
            TaskStatus.PENDING,
            request.created_by,
            now_ms,
            next_seq=1,
            expires_at_ms=first_wait_ends(spec, now_ms),
        )
        turn.save(task, TaskChange(task.status))
        turn.events.append(TaskMoved(task, None, task.status))
        task = self._runs.offer(turn, task, self._scheduler.place(spec.requirement), waited_ms=0)
        turn.replies.append((request.reply, task))
        return task

    # Cancelling.

    def cancel(self, turn: Turn, request: CancelTask) -> None:
        """A running task's worker is told; any other has to be claimed first."""
        active = self._runs.of_task(request.task_id)
        if active is not None:
            turn.replies.append((request.reply, self._runs.cancel(turn, active)))
            return
        resting = self._rest.end(request.task_id)
        if resting is not None:
            turn.replies.append((request.reply, self._cancel_claimed(turn, resting)))
            return
        waiting = self._cancels.setdefault(request.task_id, [])
        waiting.append(request.reply)
        if len(waiting) == 1:
            turn.batch.asks.append(ClaimTask(request.task_id))

    def task_claimed(self, turn: Turn, answer: TaskClaimed) -> None:
        """The task that somebody wants cancelled: ours now, gone to a worker meanwhile, at its end, or unknown."""
        task_id = answer.ask.task_id
        if task_id not in self._cancels:
            # It was claimed in order to rest.
            return
        active, resting = self._runs.of_task(task_id), self._rest.end(task_id)
        outcome: object
        if active is not None:
            outcome = self._runs.cancel(turn, active)
        elif resting is not None:
            outcome = self._cancel_claimed(turn, resting)
        elif answer.task is None:
            outcome = NotFound(f"There is no task {task_id}.")
        elif answer.owned:
            self._scheduler.unwait(answer.task.spec.requirement)
            outcome = self._cancel_claimed(turn, answer.task)
        elif answer.task.status.is_terminal:
            outcome = FailedPrecondition(f"The task has ended already: it is {answer.task.status.value}.")
        else:
            # A claim that was under way had it and gave it back: it waits again.
            turn.batch.asks.append(answer.ask)
            return
        turn.replies.extend((reply, outcome) for reply in self._cancels.pop(task_id))

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

    def ask(self, turn: Turn) -> None:
        """Asks the store for tasks that have waited too long, and then for tasks for the slots that are waited for."""
        self._expiry.ask(turn)
        turn.batch.asks.extend(ClaimNext(claim, claim.requirements, claim.limit) for claim in self._scheduler.claims())

    def tasks_claimed(self, turn: Turn, answer: TasksClaimed) -> None:
        """The next tasks, for the worker whose slots were set aside, or whoever has one if it is gone."""
        claim = answer.ask.ref
        assert isinstance(claim, Claim)
        for task in answer.tasks:
            self._scheduler.unwait(task.spec.requirement)
        self._scheduler.settle(claim)
        for task in answer.tasks:
            if not self._expiry.ended(turn, task):
                self._give_out(turn, task, self._slot_of(claim, task.spec.requirement))

    def rested(self, turn: Turn) -> None:
        """Tasks whose time for another attempt has come."""
        while (task := self._rest.over(turn.now.mono)) is not None:
            if not self._expiry.ended(turn, task):
                self._give_out(turn, task, self._scheduler.place(task.spec.requirement))

    def _slot_of(self, claim: Claim[int], requirement: Requirement) -> int | None:
        return claim.key if self._scheduler.take(claim.key, requirement) else self._scheduler.replace(requirement)

    def _give_out(self, turn: Turn, task: Task, session: int | None) -> None:
        """The task is claimed; without a worker for it it goes back into the queue."""
        if session is None:
            turn.batch.tasks[task.id] = task
        self._runs.offer(turn, task, session, waited_ms=max(0, turn.now.utc_ms - task.waits_since_ms))
