"""Runs and workers that find each other again: after a stream that broke, or a control plane that began anew."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.domain.control_plane.active_run import lost, never_heard_of, untaken
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.protocol import LiveRun, RunDirective
from taskrun.domain.records import Task
from taskrun.domain.status import FailureKind, RunStatus, Verdict


class Reunion:
    """Compares the runs that a worker still has with those that it should have."""

    def __init__(self, fleet: Fleet, runs: Runs) -> None:
        self._fleet, self._runs = fleet, runs

    def directives(self, worker: Worker, live_runs: Sequence[LiveRun]) -> list[RunDirective]:
        """What becomes of the runs that a worker brings along."""
        return [self._directive(worker, live.run_id) for live in live_runs]

    def reunite(self, turn: Turn, worker: Worker, live_runs: Sequence[LiveRun]) -> None:
        """Sees to the runs that the worker had before: those that it brings along, and those that it does not."""
        live = {run.run_id for run in live_runs}
        # It was told to stop them, and says no more of them.
        for run_id in sorted(worker.overdue):
            self._fleet.freed(turn, worker, run_id)
        for run_id in sorted(worker.runs):
            active = self._runs.of_run(run_id)
            assert active is not None
            begun = active.run.status is RunStatus.RUNNING or active.stop is FailureKind.WORKER_LOST
            if begun and run_id not in live:
                self._runs.end(turn, active, lost(run_id, "the worker came back without the run"))
            else:
                self._runs.remind(turn, active, assign=run_id not in live)

    def knows(self, worker_id: str, live_runs: Sequence[LiveRun]) -> bool:
        """Whether somebody here has heard of all the runs that it brings along."""
        worker = self._fleet.of_id(worker_id)
        overdue = worker.overdue if worker is not None else ()
        return all(self._runs.of_run(live.run_id) is not None or live.run_id in overdue for live in live_runs)

    def has(self, task: Task) -> bool:
        """Whether the task's last run is followed here."""
        return self._runs.of_run(task.runs[-1].id) is not None

    def recover(self, turn: Turn, task: Task, why: str) -> Worker | None:
        """A task that ran under another control plane, or an earlier one: its worker may come back to it, if it is one
        that does. Then this is the worker. If not, its run has ended, and this is why."""
        run = task.runs[-1]
        if self.has(task):
            # It was read from the store twice.
            return None
        worker = self._fleet.of_id(run.worker_id)
        if worker is None and run.process:
            worker = self._fleet.expect(turn, run.worker_id, run.process)
        comes_back = worker is not None and worker.process == run.process
        if worker is not None and comes_back and not self._fleet.is_here(worker):
            self._runs.take_over(turn, task, worker)
            return worker
        # One that is here has come without the run.
        ended = untaken if comes_back and never_heard_of(run) else lost
        self._runs.give_up(turn, task, ended(run.id, why))
        return None

    def _directive(self, worker: Worker, run_id: str) -> RunDirective:
        active = self._runs.of_run(run_id)
        if active is not None and active.worker is worker:
            return RunDirective(run_id, Verdict.GO_ON, active.next_seq)
        known = active is not None or run_id in worker.overdue
        return RunDirective(run_id, Verdict.STOP if known else Verdict.UNKNOWN)
