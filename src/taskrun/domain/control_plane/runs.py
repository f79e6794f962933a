"""The runs that workers have: given out, followed, ended, and tried again.

A run has one deadline at a time: to start once it is assigned; to end within its task's timeout, and not to be silent
for too long, once it runs; to report its end once it was told to stop, after the time that its worker says to give the
agent for that. What was not started in time is told to stop as well before it is tried again: its worker may have begun
with it after all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from taskrun.domain.control_plane.active_run import ActiveRun, lost, never_heard_of, untaken
from taskrun.domain.control_plane.askers import hand_over, turn_away
from taskrun.domain.control_plane.expiry import Expiry
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.rest import Rest
from taskrun.domain.control_plane.stranding import Stranding
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.events import RunAssigned, RunEnded, TaskMoved, TaskRequeued
from taskrun.domain.machines.run import RUN, RunMove
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.protocol import CancelRun, RunReport
from taskrun.domain.records import Run, RunMessage, StoryBody, Task, TaskChange
from taskrun.domain.retry import attempts, is_poison, may_retry, retry_delay
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.status import ChatRole, FailureKind, RunStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.domain.usage import consumed_by
from taskrun.domain.waiting import waits_again

_MOVES = {
    RunStatus.RUNNING: RunMove.STARTED,
    RunStatus.COMPLETED: RunMove.COMPLETED,
    RunStatus.FAILED: RunMove.FAILED,
    RunStatus.CANCELLED: RunMove.CANCELLED,
}
_CANCELLED = "the task was cancelled"
_TOOK_TOO_LONG = "the run took longer than its task allows"
_SILENT = "the run was silent for longer than its task allows"
#: Either of the two: which, only the control plane knows that said so.
_TIME_OVER = "the run's time was over"
_NOT_STARTED = "the run was not started in time"
#: Nothing is known of the processes of a run that ends without its worker's word. "{0}" is why it was stopped, "{1}"
#: the worker.
_UNCONFIRMED = "{0}; the worker {1} has not confirmed its end: its processes may go on for a while"
_NOT_SAID_AGAIN = "This run is tried again from the task's input: what it was told since then is not said again."
_POISON = "workers were lost soon after they had begun with this task, more than once: it is given to no other"


class Runs:
    """Gives runs to workers and follows them."""

    def __init__(
        self,
        fleet: Fleet,
        scheduler: Scheduler[int],
        deadlines: Deadlines[str],
        rest: Rest,
        expiry: Expiry,
        stranding: Stranding,
        timers: ControlPlaneTimers,
        new_id: Callable[[], str],
    ) -> None:
        self._fleet, self._scheduler, self._deadlines, self._rest = fleet, scheduler, deadlines, rest
        self._expiry, self._stranding, self._timers, self._new_id = expiry, stranding, timers, new_id
        self._by_run: dict[str, ActiveRun] = {}
        self._by_task: dict[str, ActiveRun] = {}

    def of_run(self, run_id: str) -> ActiveRun | None:
        """The run of this id, while a worker has it."""
        return self._by_run.get(run_id)

    def of_task(self, task_id: str) -> ActiveRun | None:
        """The run that a worker has of this task."""
        return self._by_task.get(task_id)

    # Giving out.

    def assign(self, turn: Turn, task: Task, session: int, waited_ms: int) -> Task:
        """Gives a run of the waiting task to the worker on this stream, in a slot that is already taken."""
        worker = self._fleet.of_session(session)
        assert worker is not None
        now_ms = turn.now.utc_ms
        run = Run(
            self._new_id(),
            worker.id,
            RUN.after(RunStatus.PENDING, RunMove.SENT),
            attempts(task.runs) + 1,
            assigned_at_ms=now_ms,
            process=worker.process,
        )
        task = self._change(turn, task, TaskEvent.ASSIGNED, run)
        active = ActiveRun(task, run, worker)
        self._began(active)
        self._fleet.took(turn, worker, run.id)
        self._arm(turn, active)
        turn.send(session, active.order())
        turn.events.append(RunAssigned(task.id, run.id, worker.id, task.spec.requirement, waited_ms))
        return task

    def offer(self, turn: Turn, task: Task, session: int | None, waited_ms: int) -> Task:
        """Gives the waiting, saved task to the worker that the scheduler found; without one it stays in the queue."""
        if session is None:
            self._scheduler.wait(task.requirement)
            self._expiry.expect(turn, task.expires_at_ms)
            self._stranding.waits(turn, task)
            return task
        return self.assign(turn, task, session, waited_ms)

    def remind(self, turn: Turn, active: ActiveRun, *, assign: bool) -> None:
        """The worker came back, and may not have heard what it was told of the run, or even of the run itself."""
        active.asked_again = False
        if assign:
            self._fleet.send(turn, active.worker, active.order())
        if active.stop is not None:
            self._tell_to_stop(turn, active)
        elif active.run.status is RunStatus.ASSIGNED:
            self._arm(turn, active)
        for order, _ in active.asked.values():
            self._fleet.send(turn, active.worker, order)

    def take_over(self, turn: Turn, task: Task, worker: Worker) -> None:
        """The task ran when the control plane went down, and this worker may come back to it."""
        run = task.runs[-1]
        active = ActiveRun(task, run, worker, next_seq=run.next_seq, kept_bytes=run.kept_bytes)
        if task.cancel_requested:
            active.stop, active.why = FailureKind.CANCELLED, _CANCELLED
        elif run.stop is not None:
            active.stop, active.why = run.stop, _why_stopped(task, run)
        self._began(active)
        self._count(turn, task)
        worker.runs.add(run.id)
        active.begin(turn.now)
        active.told(turn.now.mono, here=False)
        self._arm(turn, active)

    def give_up(self, turn: Turn, task: Task, report: RunReport) -> None:
        """The task ran under a control plane that is gone or was left, and nobody comes back to it."""
        self._settle(turn, task, self._ended(turn, task.runs[-1], report))

    def call_off(self, turn: Turn, task: Task) -> None:
        """The new task, of whose run nothing is stored and nobody knows, waits."""
        self.drop(turn, task.id)
        self.offer(turn, task, None, waited_ms=0)

    def drop(self, turn: Turn, task_id: str) -> None:
        """Another control plane has the task: what becomes of it is decided there, and told to the worker there."""
        active = self._by_task.get(task_id)
        if active is not None:
            self._over(turn, active)
            self._deadlines.disarm(active.run.id)
            self._fleet.freed(turn, active.worker, active.run.id)
            hand_over(turn, task_id, active.askers)

    # Stopping.

    def cancel(self, turn: Turn, active: ActiveRun) -> Task:
        """The task is to end: its worker is told, once. The task as it then stands."""
        if not active.task.cancel_requested:
            task = active.task
            active.task = replace(task, cancel_requested=True, next_seq=task.next_seq + 1)
            turn.save(active.task, TaskChange(active.task.status, True, active.run))
            if active.stop is None:
                self._stop(turn, active, FailureKind.CANCELLED, _CANCELLED)
        return active.task

    def stopping(self, turn: Turn, active: ActiveRun, within: float) -> None:
        """The worker is stopping the run: its agent is gone within so many seconds."""
        if active.stop is not None:
            active.stopping(turn.now.mono, within)
            self._arm(turn, active)

    def due(self, turn: Turn, run_id: str) -> None:
        """The run's deadline has passed."""
        active, mono = self._by_run[run_id], turn.now.mono
        here = self._fleet.is_here(active.worker)
        if active.stop is not None and not active.may_be_heard_of(here=here):
            self._end_unheard(turn, active, active.stop)
        elif active.stop is not None:
            self._deadlines.arm(run_id, mono + self._timers.stop)
        elif active.run.status is RunStatus.ASSIGNED and here:
            self._fleet.doubt(active.worker, run_id)
            self._stop(turn, active, FailureKind.WORKER_LOST, _NOT_STARTED)
        elif mono >= active.ends_at:
            self._stop(turn, active, FailureKind.TIMEOUT, _TOOK_TOO_LONG)
        elif mono >= active.silent_at and here:
            self._stop(turn, active, FailureKind.TIMEOUT, _SILENT)
        else:
            # Nobody hears what a worker says that is away.
            active.heard_at = active.heard_at if here else mono
            self._arm(turn, active)

    def take_back(self, turn: Turn, worker: Worker, why: str) -> None:
        """The worker has gone where these runs are not: those of which it has never heard are no attempts."""
        for run_id in sorted(worker.runs):
            active = self._by_run[run_id]
            if never_heard_of(active.run):
                self.end(turn, active, untaken(run_id, why))

    def lose(self, turn: Turn, worker: Worker) -> None:
        """The worker is gone for good, and its runs with it."""
        heard_ms = turn.now.utc_ms - round((turn.now.mono - worker.last_contact) * 1000)
        for run_id in sorted(worker.runs):
            active = self._by_run[run_id]
            active.run = replace(active.run, lost_after_ms=max(1, heard_ms - active.run.assigned_at_ms))
            self.end(turn, active, lost(run_id, "the worker was lost"))

    # Going on.

    def recount(self, turn: Turn) -> None:
        """There are other limits: they count what runs already, too."""
        for active in self._by_task.values():
            self._count(turn, active.task)

    def start(self, turn: Turn, active: ActiveRun) -> None:
        """The worker has begun with the run."""
        run = active.run = replace(
            active.run,
            status=RUN.after(active.run.status, RunMove.STARTED),
            started_at_ms=turn.now.utc_ms,
            next_seq=active.next_seq,
        )
        task = active.task
        active.task = task.step(task.status, task.with_run(run))
        turn.save(active.task, TaskChange(task.status, task.cancel_requested, run))
        if active.stop is None:
            active.begin(turn.now)
            self._arm(turn, active)

    def tell(self, turn: Turn, active: ActiveRun, body: StoryBody, span: int = 1) -> None:
        """Adds this to the story, with how far the run has been heard."""
        task = active.task
        active.heard_at = turn.now.mono
        active.task = replace(task, runs=task.with_run(active.stamped()), next_seq=task.next_seq + span)
        turn.save(active.task, body, span)

    def note(self, turn: Turn, active: ActiveRun) -> None:
        """What the worker said is not kept, but it must not be asked for again."""
        active.heard_at = turn.now.mono
        if active.next_seq != active.run.next_seq or active.run is not active.task.runs[-1]:
            active.task = replace(active.task, runs=active.task.with_run(active.stamped()))
            turn.batch.tasks[active.task.id] = active.task

    def end(self, turn: Turn, active: ActiveRun, report: RunReport, *, free: bool = True) -> None:
        """The run is over, as reported; its slot is free again, unless the worker may still execute it."""
        run_id = active.run.id
        self._over(turn, active)
        self._deadlines.disarm(run_id)
        turn_away(turn, active.task.id, active.askers)
        if free:
            self._fleet.freed(turn, active.worker, run_id)
        if report.failure is FailureKind.REJECTED:
            self._fleet.hold(active.worker)
        self._settle(turn, active.task, self._ended(turn, active.run, active.verdict(report)))

    # Inside.

    def _began(self, active: ActiveRun) -> None:
        self._by_run[active.run.id] = self._by_task[active.task.id] = active
        self._scheduler.began(active.task.requirement)

    def _count(self, turn: Turn, task: Task) -> None:
        """The task runs, and may have begun where no limit counted it."""
        if accounts := self._scheduler.counted_together(task.requirement):
            turn.batch.counted[task.id] = accounts

    def _over(self, turn: Turn, active: ActiveRun) -> None:
        del self._by_run[active.run.id], self._by_task[active.task.id]
        # Of one that is over already nobody need know whether it may run, or that it does.
        turn.batch.running.pop(active.task.id, None)
        turn.batch.counted.pop(active.task.id, None)
        self._scheduler.ended(active.task.requirement)

    def _arm(self, turn: Turn, active: ActiveRun) -> None:
        """The run has from now on its time to do what it is about to do next."""
        due_at = active.due_at(turn.now.mono, self._timers)
        if due_at == math.inf:
            self._deadlines.disarm(active.run.id)
        else:
            self._deadlines.arm(active.run.id, due_at)

    def _stop(self, turn: Turn, active: ActiveRun, kind: FailureKind, why: str) -> None:
        """The run's worker is told to stop it. That is stored: whoever hears of the end has to know why it came."""
        active.stop, active.why = kind, why
        active.run = replace(active.run, stop=kind)
        active.task = replace(active.task, runs=active.task.with_run(active.run))
        turn.batch.tasks[active.task.id] = active.task
        self._tell_to_stop(turn, active)

    def _tell_to_stop(self, turn: Turn, active: ActiveRun) -> None:
        active.told(turn.now.mono, here=self._fleet.is_here(active.worker))
        self._fleet.send(turn, active.worker, CancelRun(active.run.id, active.why))
        self._arm(turn, active)

    def _end_unheard(self, turn: Turn, active: ActiveRun, why: FailureKind) -> None:
        """The run ends without its worker's word. The worker may go on with it: the slot stays taken."""
        self._fleet.overdue(active.worker, active.run.id, started=active.run.status is RunStatus.RUNNING)
        status = RunStatus.CANCELLED if why is FailureKind.CANCELLED else RunStatus.FAILED
        active.why = _UNCONFIRMED.format(active.why, active.worker.id)
        self.end(turn, active, RunReport(active.run.id, status, active.why, why), free=False)

    def _ended(self, turn: Turn, run: Run, report: RunReport) -> Run:
        """The run with its end, as reported."""
        return Run(
            id=run.id,
            worker_id=run.worker_id,
            status=RUN.after(run.status, _MOVES[report.status]),
            attempt=run.attempt,
            assigned_at_ms=run.assigned_at_ms,
            started_at_ms=run.started_at_ms,
            finished_at_ms=turn.now.utc_ms,
            backend=report.backend or run.backend,
            error=report.error,
            failure=_failure(report),
            usage=report.usage or run.usage,
            session_id=run.session_id,
            process=run.process,
            next_seq=run.next_seq,
            kept_bytes=run.kept_bytes,
            lost_after_ms=run.lost_after_ms,
            taken=run.taken,
        )

    def _settle(self, turn: Turn, task: Task, run: Run) -> None:
        """What the run's end means for its task."""
        spec = task.spec
        if run.lost_after_ms and is_poison(task.with_run(run), self._timers):
            run = replace(run, failure=FailureKind.POISON, error=_POISON)
        duration_ms = max(0, run.finished_at_ms - run.assigned_at_ms)
        consumed = consumed_by(run)
        turn.events.append(
            RunEnded(task.id, run.id, run.worker_id, spec.agent, run.status, run.failure, duration_ms, consumed)
        )
        if task.cancel_requested:
            self._change(turn, task, TaskEvent.CANCELLED, run)
        elif run.status is RunStatus.COMPLETED:
            self._change(turn, task, TaskEvent.COMPLETED, run)
        elif not may_retry(spec, task.with_run(run)):
            self._change(turn, task, TaskEvent.FAILED, run)
        else:
            self._requeue(turn, task, run)

    def _requeue(self, turn: Turn, task: Task, run: Run) -> None:
        assert run.failure is not None
        if run.taken:
            # What the worker took went with it: the next attempt begins with the task's own input.
            task = replace(task, next_seq=task.next_seq + 1)
            turn.save(task, RunMessage(run.id, ChatRole.SYSTEM, _NOT_SAID_AGAIN))
        rest = retry_delay(task.with_run(run), self._timers)
        task = self._change(turn, waits_again(task, run, rest), TaskEvent.REQUEUED, run)
        turn.events.append(TaskRequeued(task, run.failure))
        if not self._rest.begin(turn, task, rest):
            self.offer(turn, task, self._scheduler.place(task.requirement), waited_ms=0)

    def _change(self, turn: Turn, task: Task, event: TaskEvent, run: Run) -> Task:
        """Moves the task, with the run that moves it."""
        status = TASK.after(task.status, event)
        changed = task.step(status, task.with_run(run), turn.now.utc_ms if status.is_terminal else 0)
        turn.save(changed, TaskChange(status, task.cancel_requested, run))
        turn.events.append(TaskMoved(changed, task.status, status))
        return changed


def _why_stopped(task: Task, run: Run) -> str:
    """What an earlier control plane told the run's worker, in words."""
    if run.stop is FailureKind.WORKER_LOST:
        return _NOT_STARTED
    if not task.spec.silence_timeout_ms:
        return _TOOK_TOO_LONG
    return _TIME_OVER if task.spec.timeout_ms else _SILENT


def _failure(report: RunReport) -> FailureKind | None:
    """An end that is not a success has a kind, also where an old worker names none."""
    if report.status is RunStatus.COMPLETED:
        return None
    default = FailureKind.CANCELLED if report.status is RunStatus.CANCELLED else FailureKind.AGENT_ERROR
    return report.failure or default
