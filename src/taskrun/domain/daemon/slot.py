"""The life of a run on its worker.

A slot is taken when the run is assigned and free again only when the agent is really gone. Stopping takes a while, and
the state says why the run is being stopped: the first reason stands, except that a run that was let go has nobody left
to report to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from taskrun.domain.daemon.lane import Lane
from taskrun.domain.daemon.talk import Talk
from taskrun.domain.machines.machine import Machine
from taskrun.domain.protocol import AssignRun, ContinueRun, RunReport
from taskrun.domain.status import FailureKind, RunStatus
from taskrun.domain.timers import MAX_STOP_GRACE


class SlotState(Enum):
    """Where a run is, as long as its agent lives."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    TIMING_OUT = "timing out"
    ABANDONED = "abandoned"


class SlotEvent(Enum):
    """Why a run is to end before its agent says so."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    LET_GO = "let go"


_S, _E = SlotState, SlotEvent

SLOT: Machine[SlotState, SlotEvent] = Machine(
    "slot",
    {
        (_S.RUNNING, _E.CANCELLED): _S.CANCELLING,
        (_S.RUNNING, _E.TIMED_OUT): _S.TIMING_OUT,
        (_S.RUNNING, _E.LET_GO): _S.ABANDONED,
        (_S.CANCELLING, _E.CANCELLED): _S.CANCELLING,
        (_S.CANCELLING, _E.TIMED_OUT): _S.CANCELLING,
        (_S.CANCELLING, _E.LET_GO): _S.ABANDONED,
        (_S.TIMING_OUT, _E.CANCELLED): _S.TIMING_OUT,
        (_S.TIMING_OUT, _E.TIMED_OUT): _S.TIMING_OUT,
        (_S.TIMING_OUT, _E.LET_GO): _S.ABANDONED,
        (_S.ABANDONED, _E.CANCELLED): _S.ABANDONED,
        (_S.ABANDONED, _E.TIMED_OUT): _S.ABANDONED,
        (_S.ABANDONED, _E.LET_GO): _S.ABANDONED,
    },
)

#: How a run that was stopped is reported.
_STOPPED = {
    SlotState.CANCELLING: (RunStatus.CANCELLED, FailureKind.CANCELLED),
    SlotState.TIMING_OUT: (RunStatus.FAILED, FailureKind.TIMEOUT),
}


@dataclass(eq=False, slots=True)
class RunSlot:
    """A run that this worker has."""

    lane: Lane
    talk: Talk
    state: SlotState = SlotState.RUNNING
    #: For people: why the run is being stopped. And by when its agent is gone (seconds, monotonic).
    why: str = ""
    gone_by: float = 0.0

    def stop(self, event: SlotEvent, why: str) -> bool:
        """Takes the event in; true if it is the first, so that the agent has to be told."""
        first = self.state is SlotState.RUNNING
        self.state = SLOT.after(self.state, event)
        if first:
            self.why = why
        if self.state is SlotState.ABANDONED:
            self.lane.close()
        return first

    def tell_stopping(self, now: float) -> None:
        """Whoever told it to stop is to know that it does, and how long that takes."""
        within = min(self.gone_by - now, MAX_STOP_GRACE)
        self.lane.add(RunReport(self.lane.run_id, RunStatus.RUNNING, gone_within_ms=max(1, round(within * 1000))))

    def hear(self, order: ContinueRun) -> None:
        """Takes a message for the agent's next turn, and says so. A run that is being stopped has no next turn."""
        if self.state is SlotState.RUNNING and (word := self.talk.take(order)):
            self.lane.add(word)

    def next_turn(self, report: RunReport, said: str) -> AssignRun | None:
        """The agent's turn is over, in which it said this: what it goes on with, if there is something."""
        for word in self.talk.answered(report, said):
            self.lane.add(word)
        return self.talk.next_turn(report) if self.state is SlotState.RUNNING else None

    def end(self, report: RunReport) -> None:
        """The agent is gone: reports how it went. A run that was done before it could be stopped is done."""
        report = self.talk.summed(report)
        stopped = _STOPPED.get(self.state)
        if stopped is not None and report.status is not RunStatus.COMPLETED:
            status, failure = stopped
            report = replace(report, status=status, failure=failure, error=self.why)
        for word in self.talk.unheard():
            self.lane.add(word)
        self.lane.add(report)
        self.lane.close()
