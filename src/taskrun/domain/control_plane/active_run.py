"""A run that a worker has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.protocol import AssignRun, RunReport
from taskrun.domain.records import Run, Task
from taskrun.domain.status import FailureKind, RunStatus


@dataclass(eq=False, slots=True)
class ActiveRun:
    """The run, and its task as it now is."""

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


def lost(run_id: str, why: str) -> RunReport:
    """What nobody is left to report of a run."""
    return RunReport(run_id, RunStatus.FAILED, why, FailureKind.WORKER_LOST)
