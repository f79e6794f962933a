"""A run that a worker has."""

from __future__ import annotations

import math
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
    #: Why it was told to stop, if it was; and in words.
    stop: FailureKind | None = None
    why: str = ""
    #: The sequence number of what is expected next.
    next_seq: int = 0
    #: It was asked for again.
    asked_again: bool = False
    #: What the story holds of it: output, events and messages.
    kept_bytes: int = 0
    #: Seconds, monotonic: when the worker last said something of it, and when its time is over.
    heard_at: float = 0.0
    ends_at: float = math.inf

    @property
    def silent_at(self) -> float:
        """When it has been silent for too long if nothing more is said of it."""
        silence_ms = self.task.spec.silence_timeout_ms
        return self.heard_at + silence_ms / 1000 if silence_ms else math.inf

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
