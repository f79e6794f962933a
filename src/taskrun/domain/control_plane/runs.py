"""The runs that workers have: given out, followed, ended, and tried again.

A run has one deadline at a time: to start once it is assigned, to end within its task's timeout once it runs, to report
its end once it was told to stop. A report counts only from the worker that the run was given to, in the process that
has it, and only while the run is not over; the run id is the fencing token. What a worker numbers counts in its order:
what was said before is dropped, and what is missing is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from taskrun.domain.control_plane.fleet import Fleet, Worker
from taskrun.domain.control_plane.room import size_of
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.events import MessageRefused, RunAssigned, RunEnded, TaskMoved, TaskRequeued
from taskrun.domain.limits import MAX_OUTPUT_BYTES
from taskrun.domain.machines.run import RUN, RunMove
from taskrun.domain.machines.task import TASK, TaskEvent
from taskrun.domain.protocol import AssignRun, CancelRun, LiveRun, RunDirective, RunReport
from taskrun.domain.records import OutputSegment, Run, RunEvent, RunMessage, StoryBody, Task, TaskChange
from taskrun.domain.retry import attempts, may_retry
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.status import FailureKind, RunStatus, Verdict
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
_SUPERSEDED = "the run is over or belongs to another worker"


@dataclass(eq=False, slots=True)
class ActiveRun:
    """A run that a worker has, and its task as it now is."""

    task: Task
    run: Run
    worker: Worker
    #: Why it was told to stop, if it was.
    stop: FailureKind | None = None
    #: The sequence number of what is expected next.
    next_seq: int = 0
    #: It was asked for again.
    asked_again: bool = False
    #: What the story holds of it: output, events and messages.
    kept_bytes: int = 0

    def stamped(self) -> Run:
        """The run with how far it has been heard."""
        self.run = replace(self.run, next_seq=self.next_seq, kept_bytes=self.kept_bytes)
        return self.run

    def order(self) -> AssignRun:
        """What its worker is told to do."""
        task, spec = self.task, self.task.spec
        return AssignRun(
            self.run.id,
            task.id,
            spec.agent,
            spec.input_json,
            spec.labels,
            self.run.attempt,
            self.run.assigned_at_ms,
            spec.timeout_ms,
        )


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
        self._deadlines.arm(run.id, turn.now.mono + self._timers.start)
        turn.send(session, active.order())
        turn.events.append(RunAssigned(task.id, run.id, worker.id, task.spec.requirement, waited_ms))
        return task

    # Workers that come back.

    def directives(self, worker: Worker, live_runs: Sequence[LiveRun]) -> list[RunDirective]:
        """What becomes of the runs that a worker brings along."""
        return [self._directive(worker, live.run_id) for live in live_runs]

    def _directive(self, worker: Worker, run_id: str) -> RunDirective:
        active = self._by_run.get(run_id)
        if active is not None and active.worker is worker:
            return RunDirective(run_id, Verdict.GO_ON, active.next_seq)
        known = active is not None or run_id in worker.overdue
        return RunDirective(run_id, Verdict.STOP if known else Verdict.UNKNOWN)

    def reunite(self, turn: Turn, worker: Worker, live_runs: Sequence[LiveRun]) -> None:
        """Sees to the runs that the worker had before: those that it brings along, and those that it does not."""
        live = {run.run_id for run in live_runs}
        # It was told to stop them, and says no more of them.
        for run_id in sorted(worker.overdue):
            self._fleet.freed(turn, worker, run_id)
        for run_id in sorted(worker.runs):
            active = self._by_run[run_id]
            active.asked_again = False
            if run_id not in live and active.run.status is RunStatus.RUNNING:
                self._end(turn, active, _lost(run_id, "the worker came back without the run"))
                continue
            if run_id not in live:
                turn.send(worker.session, active.order())
            if active.stop is not None:
                turn.send(worker.session, CancelRun(run_id, _WHY_STOPPED[active.stop]))

    # What workers say.

    def report(self, turn: Turn, worker: Worker, report: RunReport) -> None:
        """A run started or ended."""
        active = self._owned(turn, worker, report.run_id, "status", told_to_stop=report.status is RunStatus.RUNNING)
        move = _MOVES.get(report.status)
        if active is None or move is None:
            if report.status.is_terminal and report.run_id in worker.overdue:
                self._fleet.freed(turn, worker, report.run_id)
        elif not self._is_next(turn, active, report.seq):
            return
        elif move is not RunMove.STARTED:
            self._end(turn, active, report)
        elif active.run.status is RunStatus.ASSIGNED:
            self._start(turn, active)

    def output(self, turn: Turn, worker: Worker, segment: OutputSegment) -> None:
        """A stretch of a run's output: what is new of it is added to the story, once."""
        active = self._owned(turn, worker, segment.run_id, "output")
        if active is None:
            return
        contents, first_seq = segment.contents, segment.first_seq
        if first_seq > active.next_seq and worker.resumes:
            self._ask_again(turn, active)
            return
        if first_seq < active.next_seq:
            contents = contents[active.next_seq - first_seq :]
            first_seq = active.next_seq
        if contents:
            active.next_seq = first_seq + len(contents)
            active.asked_again = False
            self._keep(turn, active, OutputSegment(segment.run_id, first_seq, contents, segment.metadata))

    def happened(self, turn: Turn, worker: Worker, body: RunEvent | RunMessage) -> None:
        """A stage of the execution, or a message of the conversation."""
        active = self._owned(turn, worker, body.run_id, "event")
        if active is not None and self._is_next(turn, active, body.seq) and self._has_room(turn, active, body):
            self._tell(turn, active, body)

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
            self._deadlines.arm(run_id, turn.now.mono + self._timers.start)
        elif active.run.status is RunStatus.ASSIGNED:
            turn.send(active.worker.session, CancelRun(run_id, _WHY_STOPPED[FailureKind.WORKER_LOST]))
            self._end_unheard(turn, active, FailureKind.WORKER_LOST)
        else:
            self._stop(turn, active, FailureKind.TIMEOUT)

    def lose(self, turn: Turn, worker: Worker) -> None:
        """The worker is gone for good, and its runs with it."""
        for run_id in sorted(worker.runs):
            self._end(turn, self._by_run[run_id], _lost(run_id, "the worker was lost"))

    def recover(self, turn: Turn, task: Task) -> None:
        """A task that ran when the control plane went down: its worker may come back to it, if it is one that does."""
        run = task.runs[-1]
        worker = self._fleet.of_id(run.worker_id)
        if worker is None and run.process:
            worker = self._fleet.expect(turn, run.worker_id, run.process)
        if worker is None or worker.process != run.process:
            self._settle(turn, task, self._ended(turn, run, _lost(run.id, "the control plane restarted")))
            return
        stop = FailureKind.CANCELLED if task.cancel_requested else None
        active = ActiveRun(task, run, worker, stop, run.next_seq, kept_bytes=run.kept_bytes)
        self._by_run[run.id] = self._by_task[task.id] = active
        worker.runs.add(run.id)
        patience = self._patience(active)
        if patience is not None:
            self._deadlines.arm(run.id, turn.now.mono + patience)

    # Inside.

    def _owned(self, turn: Turn, worker: Worker, run_id: str, what: str, told_to_stop: bool = True) -> ActiveRun | None:
        """The run, if this worker may speak of it; otherwise the message is refused, and the worker told to stop."""
        active = self._by_run.get(run_id)
        if active is not None and active.worker is worker:
            return active
        turn.events.append(MessageRefused(worker.id, run_id, what))
        self._fleet.heard_of(worker, run_id)
        if told_to_stop and run_id not in worker.overdue:
            stop = RunDirective(run_id, Verdict.STOP) if worker.resumes else CancelRun(run_id, _SUPERSEDED)
            turn.send(worker.session, stop)
        return None

    def _is_next(self, turn: Turn, active: ActiveRun, seq: int | None) -> bool:
        """Whether this is what the worker says next of the run; one that does not number what it says is believed."""
        if seq is None:
            return True
        if seq > active.next_seq:
            self._ask_again(turn, active)
        if seq != active.next_seq:
            return False
        active.next_seq = seq + 1
        active.asked_again = False
        return True

    def _ask_again(self, turn: Turn, active: ActiveRun) -> None:
        """Something is missing before what the worker said: it is asked to go back, once, and all it says until then is
        left out."""
        if not active.asked_again:
            active.asked_again = True
            turn.events.append(MessageRefused(active.worker.id, active.run.id, "gap"))
            turn.send(active.worker.session, RunDirective(active.run.id, Verdict.GO_ON, active.next_seq))

    def _patience(self, active: ActiveRun) -> float | None:
        """How long the run may take until what it is about to do next, in seconds."""
        timeout_ms = active.task.spec.timeout_ms
        if active.stop is not None:
            return self._timers.stop
        if active.run.status is RunStatus.ASSIGNED:
            return self._timers.start
        return timeout_ms / 1000 if timeout_ms else None

    def _start(self, turn: Turn, active: ActiveRun) -> None:
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
            self._deadlines.disarm(run.id)
            patience = self._patience(active)
            if patience is not None:
                self._deadlines.arm(run.id, turn.now.mono + patience)

    def _stop(self, turn: Turn, active: ActiveRun, why: FailureKind) -> None:
        active.stop = why
        turn.send(active.worker.session, CancelRun(active.run.id, _WHY_STOPPED[why]))
        self._deadlines.arm(active.run.id, turn.now.mono + self._timers.stop)

    def _end_unheard(self, turn: Turn, active: ActiveRun, why: FailureKind) -> None:
        """The run ends without its worker's word. The worker may go on with it: the slot stays taken."""
        self._fleet.overdue(active.worker, active.run.id, started=active.run.status is RunStatus.RUNNING)
        status = RunStatus.CANCELLED if why is FailureKind.CANCELLED else RunStatus.FAILED
        error = f"{_WHY_STOPPED[why]}; the worker did not report the run's end"
        self._end(turn, active, RunReport(active.run.id, status, error, why), free=False)

    def _end(self, turn: Turn, active: ActiveRun, report: RunReport, free: bool = True) -> None:
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

    def offer(self, turn: Turn, task: Task, session: int | None, waited_ms: int) -> Task:
        """Gives the waiting, saved task to the worker that the scheduler found; without one it stays in the queue."""
        if session is None:
            self._scheduler.wait(task.spec.requirement)
            return task
        return self.assign(turn, task, session, waited_ms)

    def _keep(self, turn: Turn, active: ActiveRun, segment: OutputSegment) -> None:
        """Adds output to the story, unless it is only the empty chunk with which a worker ends it."""
        if not any(segment.contents):
            self._note(turn, active)
        elif self._has_room(turn, active, segment):
            self._tell(turn, active, segment, len(segment.contents))

    def _has_room(self, turn: Turn, active: ActiveRun, body: OutputSegment | RunEvent | RunMessage) -> bool:
        """Whether the story takes this from the run as well. The first that is too much leaves a mark in it."""
        if active.kept_bytes > MAX_OUTPUT_BYTES:
            self._note(turn, active)
            return False
        active.kept_bytes += size_of(body)
        if active.kept_bytes > MAX_OUTPUT_BYTES:
            self._tell(turn, active, OutputSegment(active.run.id, active.next_seq, (), truncated=True))
            return False
        return True

    def _tell(self, turn: Turn, active: ActiveRun, body: StoryBody, span: int = 1) -> None:
        task = active.task
        active.task = replace(task, runs=task.with_run(active.stamped()), next_seq=task.next_seq + span)
        turn.save(active.task, body, span)

    def _note(self, turn: Turn, active: ActiveRun) -> None:
        """What the worker said is not kept, but it must not be asked for again."""
        active.task = replace(active.task, runs=active.task.with_run(active.stamped()))
        turn.batch.tasks[active.task.id] = active.task

    def _change(self, turn: Turn, task: Task, event: TaskEvent, run: Run) -> Task:
        """Moves the task, with the run that moves it."""
        status = TASK.after(task.status, event)
        changed = task.step(status, task.with_run(run), turn.now.utc_ms if status.is_terminal else 0)
        turn.save(changed, TaskChange(status, task.cancel_requested, run))
        turn.events.append(TaskMoved(changed, task.status, status))
        return changed


def _lost(run_id: str, why: str) -> RunReport:
    return RunReport(run_id, RunStatus.FAILED, why, FailureKind.WORKER_LOST)


def _failure(report: RunReport) -> FailureKind | None:
    """An end that is not a success has a kind, also where an old worker names none."""
    if report.status is RunStatus.COMPLETED:
        return None
    default = FailureKind.CANCELLED if report.status is RunStatus.CANCELLED else FailureKind.AGENT_ERROR
    return report.failure or default
