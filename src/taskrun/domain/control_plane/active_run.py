"""A run that a worker has."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain

from taskrun.domain.control_plane.askers import Asker
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.conversation import MAX_TAKEN
from taskrun.domain.limits import MAX_NAME
from taskrun.domain.now import Now
from taskrun.domain.protocol import AssignRun, ContinueRun, RunReport
from taskrun.domain.records import Run, RunEvent, RunMessage, Task
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus
from taskrun.domain.timers import MAX_STOP_GRACE, ControlPlaneTimers
from taskrun.domain.usage import told_in

#: What a run can be stopped for that is a failure.
_FAILURES = frozenset({FailureKind.TIMEOUT, FailureKind.WORKER_LOST})


@dataclass(eq=False, slots=True)
class ActiveRun:
    """The run, and its task as it now is."""

    task: Task
    run: Run
    worker: Worker
    #: Why it was told to stop, if it was; in words; and when it was told first and last (seconds, monotonic).
    stop: FailureKind | None = None
    why: str = ""
    told_first_at: float = math.inf
    told_at: float = 0.0
    #: And by when its agent is gone, as its worker said last.
    gone_by: float = 0.0
    #: The sequence number of what is expected next.
    next_seq: int = 0
    #: It was asked for again.
    asked_again: bool = False
    #: What the story holds of it: output, events and messages.
    kept_bytes: int = 0
    #: Seconds, monotonic: when the worker last said something of it, and when its time is over.
    heard_at: float = 0.0
    ends_at: float = math.inf
    #: Messages on their way to its worker, by their ids, and who waits to hear that each was taken.
    asked: dict[str, tuple[ContinueRun, list[Asker]]] = field(default_factory=dict)

    @property
    def askers(self) -> Iterable[Asker]:
        """All who wait to hear that a message was taken."""
        return chain.from_iterable(askers for _, askers in self.asked.values())

    @property
    def silent_at(self) -> float:
        """When it has been silent for too long if nothing more is said of it."""
        silence_ms = self.task.spec.silence_timeout_ms
        return self.heard_at + silence_ms / 1000 if silence_ms else math.inf

    def begin(self, now: Now) -> None:
        """Its time runs since it was started, whichever control plane was there then."""
        timeout_ms, started_at_ms = self.task.spec.timeout_ms, self.run.started_at_ms
        since_ms = max(0, now.utc_ms - started_at_ms) if started_at_ms else 0
        self.heard_at = now.mono
        self.ends_at = now.mono + (timeout_ms - since_ms) / 1000 if timeout_ms else math.inf

    def due_at(self, now: float, timers: ControlPlaneTimers) -> float:
        """By when it should have done what it is about to do next, told at `now`. What is said of it moves nothing."""
        if self.stop is not None:
            return max(self.told_at, self.gone_by) + timers.stop
        if self.run.status is RunStatus.ASSIGNED:
            return now + timers.start
        return min(self.ends_at, self.silent_at)

    def told(self, now: float, *, here: bool) -> None:
        """Its worker is told to stop it, once more perhaps: one that is here hears it."""
        if here:
            self.told_first_at = min(self.told_first_at, now)
        self.told_at = min(now, self._stopped_by)

    def stopping(self, now: float, within: float) -> None:
        """Its worker has heard it, and its agent is gone within so many seconds."""
        self.gone_by = min(now + within, self._stopped_by)

    @property
    def _stopped_by(self) -> float:
        """Whatever its worker says, and however often it comes back: by then its agent is to be gone."""
        return self.told_first_at + MAX_STOP_GRACE

    def may_be_heard_of(self, *, here: bool) -> bool:
        """Whether the worker, which has not reported the end that it was told to make, may not have heard of it.

        A worker that is away comes back or is lost, and may have been done in time. If the run is to go to another, it
        also counts whether the worker is only cut off, and nobody knows it yet. A cancelled task is not kept waiting.
        """
        if self.stop is FailureKind.CANCELLED:
            return False
        return not here or (self.stop is FailureKind.WORKER_LOST and self.worker.last_contact < self.told_at)

    def verdict(self, report: RunReport) -> RunReport:
        """What its end is called: a run that was told to stop failed of that, unless it was done before. If it is only
        known that its worker is lost, that is told too."""
        if self.stop not in _FAILURES or report.status is RunStatus.COMPLETED:
            return report
        unseen = self.stop is FailureKind.TIMEOUT and report.failure is FailureKind.WORKER_LOST
        error = f"{self.why}; {report.error}" if unseen else self.why
        return replace(report, status=RunStatus.FAILED, failure=self.stop, error=error)

    def learn(self, body: RunReport | RunEvent | RunMessage) -> None:
        """What its worker tells is known of the run too: its session, which need not be kept when it ends, the messages
        that it has taken, and what it has consumed so far, which counts if no end is reported that says more."""
        if isinstance(body, RunReport):
            self.run = replace(self.run, session_id=body.session_id)
        elif isinstance(body, RunEvent):
            self._learn_of_event(body)
        elif body.role is ChatRole.USER and body.id and len(self.run.taken) < MAX_TAKEN:
            self.run = replace(self.run, taken=(*self.run.taken, body.id))

    def _learn_of_event(self, event: RunEvent) -> None:
        if event.type is RunEventType.SESSION_INITIALIZED:
            session_id = event.metadata.get("session_id", "")
            if 0 < len(session_id) <= MAX_NAME:
                self.run = replace(self.run, session_id=session_id)
        elif event.type is RunEventType.USAGE:
            self.run = replace(self.run, usage=told_in(event.metadata) or self.run.usage)

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
            spec.continues.session_id if spec.continues else "",
            spec.continues is not None and spec.continues.fork,
        )


def never_heard_of(run: Run) -> bool:
    """Whether a worker that has come without the run, in the process that was given it, has never heard of it: what it
    has heard of it brings along, until it knows that the end is stored."""
    return run.status is RunStatus.ASSIGNED and run.stop is None


def untaken(run_id: str, why: str) -> RunReport:
    """What there is to report of a run that its worker has never heard of."""
    return RunReport(run_id, RunStatus.FAILED, why, FailureKind.REJECTED)


def lost(run_id: str, why: str) -> RunReport:
    """What nobody is left to report of a run."""
    return RunReport(run_id, RunStatus.FAILED, why, FailureKind.WORKER_LOST)
