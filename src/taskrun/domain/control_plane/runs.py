"""The runs that workers have: given out, followed, ended, and tried again.

A run has one deadline at a time: to start once it is assigned, to end within its task's timeout once it runs, to report
its end once it was told to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from taskrun.domain.control_plane.active_run import ActiveRun, lost
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.events import RunAssigned, RunEnded, TaskMoved, TaskRequeued
from taskrun.domain.machines.run import RUN, RunMove
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.protocol import CancelRun, RunReport
from taskrun.domain.records import Run, StoryBody, Task, TaskChange
from taskrun.domain.retry import attempts, may_retry
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.status import FailureKind, RunStatus
from taskrun.domain.timers import ControlPlaneTimers

_MOVES = {
    RunStatus.RUNNING: RunMove.STARTED,
    RunStatus.COMPLETED: RunMove.COMPLETED,
    RunStatus.FAILED: RunMove.FAILED,
    RunStatus.CANCELLED: RunMove.CANCELLED,
}
_WHY_STOPPED = {
    FailureKind.CANCELLED: "the task was cancelled",
    FailureKind.TIMEOUT: "the run took longer than its task allows",
    FailureKind.WORKER_LOST: "the run was not started in time",
}


class Runs:
    """Gives runs to workers and follows them."""

    def __init__(
        self,
        fleet: Fleet,
        scheduler: Scheduler[int],
        deadlines: Deadlines[str],
        timers: ControlPlaneTimers,
        new_id: Callable[[], str],
    ) -> None:
        self._fleet, self._scheduler, self._deadlines, self._timers = fleet, scheduler, deadlines, timers
        self._new_id = new_id
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
        self._by_run[run.id] = self._by_task[task.id] = active
        self._fleet.took(turn, worker, run.id)
        self._arm(turn, active)
        turn.send(session, active.order())
        turn.events.append(RunAssigned(task.id, run.id, worker.id, task.spec.requirement, waited_ms))
        return task

    def offer(self, turn: Turn, task: Task, session: int | None, waited_ms: int) -> Task:
        """Gives the waiting, saved task to the worker that the scheduler found; without one it stays in the queue."""
        if session is None:
            self._scheduler.wait(task.spec.requirement)
            return task
        return self.assign(turn, task, session, waited_ms)

    def remind(self, turn: Turn, active: ActiveRun, *, assign: bool) -> None:
        """The worker came back, and may not have heard what it was told of the run, or even of the run itself."""
        active.asked_again = False
        if assign:
            self._fleet.send(turn, active.worker, active.order())
        if active.stop is not None:
            self._fleet.send(turn, active.worker, CancelRun(active.run.id, _WHY_STOPPED[active.stop]))
        elif active.run.status is RunStatus.ASSIGNED:
            self._arm(turn, active)

    def take_over(self, turn: Turn, task: Task, worker: Worker) -> None:
        """The task ran when the control plane went down, and this worker may come back to it."""
        run = task.runs[-1]
        stop = FailureKind.CANCELLED if task.cancel_requested else None
        active = ActiveRun(task, run, worker, stop, run.next_seq, kept_bytes=run.kept_bytes)
        self._by_run[run.id] = self._by_task[task.id] = active
        worker.runs.add(run.id)
        self._arm(turn, active)

    def give_up(self, turn: Turn, task: Task) -> None:
        """The task ran when the control plane went down, and nobody comes back to it."""
        run = task.runs[-1]
        self._settle(turn, task, self._ended(turn, run, lost(run.id, "the control plane restarted")))

    # Stopping.

    def cancel(self, turn: Turn, active: ActiveRun) -> Task:
        """The task is to end: its worker is told, once. The task as it then stands."""
        if not active.task.cancel_requested:
            task = active.task
            active.task = replace(task, cancel_requested=True, next_seq=task.next_seq + 1)
            turn.save(active.task, TaskChange(active.task.status, True, active.run))
            if active.stop is None:
                self._stop(turn, active, FailureKind.CANCELLED)
        return active.task

    def due(self, turn: Turn, run_id: str) -> None:
        """The run's deadline has passed."""
        active = self._by_run[run_id]
        if active.stop is not None:
            self._end_unheard(turn, active, active.stop)
        elif active.run.status is RunStatus.ASSIGNED and not self._fleet.is_here(active.worker):
            self._arm(turn, active)
        elif active.run.status is RunStatus.ASSIGNED:
            turn.send(active.worker.session, CancelRun(run_id, _WHY_STOPPED[FailureKind.WORKER_LOST]))
            self._end_unheard(turn, active, FailureKind.WORKER_LOST)
        else:
            self._stop(turn, active, FailureKind.TIMEOUT)

    def lose(self, turn: Turn, worker: Worker) -> None:
        """The worker is gone for good, and its runs with it."""
        for run_id in sorted(worker.runs):
            self.end(turn, self._by_run[run_id], lost(run_id, "the worker was lost"))

    # Going on.

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
            self._arm(turn, active)

    def tell(self, turn: Turn, active: ActiveRun, body: StoryBody, span: int = 1) -> None:
        """Adds this to the story, with how far the run has been heard."""
        task = active.task
        active.task = replace(task, runs=task.with_run(active.stamped()), next_seq=task.next_seq + span)
        turn.save(active.task, body, span)

    def note(self, turn: Turn, active: ActiveRun) -> None:
        """What the worker said is not kept, but it must not be asked for again."""
        if active.next_seq != active.run.next_seq:
            active.task = replace(active.task, runs=active.task.with_run(active.stamped()))
            turn.batch.tasks[active.task.id] = active.task

    def end(self, turn: Turn, active: ActiveRun, report: RunReport, *, free: bool = True) -> None:
        """The run is over, as reported; its slot is free again, unless the worker may still execute it."""
        run_id = active.run.id
        del self._by_run[run_id], self._by_task[active.task.id]
        self._deadlines.disarm(run_id)
        if free:
            self._fleet.freed(turn, active.worker, run_id)
        if report.failure is FailureKind.REJECTED:
            self._fleet.hold(active.worker)
        if active.stop is FailureKind.TIMEOUT and report.status is not RunStatus.COMPLETED:
            report = replace(
                report, status=RunStatus.FAILED, failure=FailureKind.TIMEOUT, error=_WHY_STOPPED[active.stop]
            )
        self._settle(turn, active.task, self._ended(turn, active.run, report))

    # Inside.

    def _arm(self, turn: Turn, active: ActiveRun) -> None:
        """The run has from now on its time to do what it is about to do next."""
        patience = self._patience(active)
        if patience is None:
            self._deadlines.disarm(active.run.id)
        else:
            self._deadlines.arm(active.run.id, turn.now.mono + patience)

    def _patience(self, active: ActiveRun) -> float | None:
        """How long the run may take until what it is about to do next, in seconds."""
        timeout_ms = active.task.spec.timeout_ms
        if active.stop is not None:
            return self._timers.stop
        if active.run.status is RunStatus.ASSIGNED:
            return self._timers.start
        return timeout_ms / 1000 if timeout_ms else None

    def _stop(self, turn: Turn, active: ActiveRun, why: FailureKind) -> None:
        active.stop = why
        self._fleet.send(turn, active.worker, CancelRun(active.run.id, _WHY_STOPPED[why]))
        self._arm(turn, active)

    def _end_unheard(self, turn: Turn, active: ActiveRun, why: FailureKind) -> None:
        """The run ends without its worker's word. The worker may go on with it: the slot stays taken."""
        self._fleet.overdue(active.worker, active.run.id, started=active.run.status is RunStatus.RUNNING)
        status = RunStatus.CANCELLED if why is FailureKind.CANCELLED else RunStatus.FAILED
        error = f"{_WHY_STOPPED[why]}; the worker did not report the run's end"
        self.end(turn, active, RunReport(active.run.id, status, error, why), free=False)

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
            session_id=report.session_id or run.session_id,
            process=run.process,
            next_seq=run.next_seq,
            kept_bytes=run.kept_bytes,
        )

    def _settle(self, turn: Turn, task: Task, run: Run) -> None:
        """What the run's end means for its task."""
        spec = task.spec
        duration_ms = max(0, run.finished_at_ms - run.assigned_at_ms)
        turn.events.append(RunEnded(task.id, run.id, run.worker_id, spec.agent, run.status, run.failure, duration_ms))
        if task.cancel_requested:
            self._change(turn, task, TaskEvent.CANCELLED, run)
        elif run.status is RunStatus.COMPLETED:
            self._change(turn, task, TaskEvent.COMPLETED, run)
        elif not may_retry(spec, task.with_run(run)):
            self._change(turn, task, TaskEvent.FAILED, run)
        else:
            assert run.failure is not None
            task = self._change(turn, task, TaskEvent.REQUEUED, run)
            turn.events.append(TaskRequeued(task, run.failure))
            self.offer(turn, task, self._scheduler.place(spec.requirement), waited_ms=0)

    def _change(self, turn: Turn, task: Task, event: TaskEvent, run: Run) -> Task:
        """Moves the task, with the run that moves it."""
        status = TASK.after(task.status, event)
        changed = task.step(status, task.with_run(run), turn.now.utc_ms if status.is_terminal else 0)
        turn.save(changed, TaskChange(status, task.cancel_requested, run))
        turn.events.append(TaskMoved(changed, task.status, status))
        return changed


def _failure(report: RunReport) -> FailureKind | None:
    """An end that is not a success has a kind, also where an old worker names none."""
    if report.status is RunStatus.COMPLETED:
        return None
    default = FailureKind.CANCELLED if report.status is RunStatus.CANCELLED else FailureKind.AGENT_ERROR
    return report.failure or default
