"""What workers say of their runs: who may speak, what is new, and how much of it is kept.

A word counts only from the worker that the run was given to, in the process that has it, and only while the run is not
over; the run id is the fencing token. What a worker numbers counts in its order: what was said before is dropped, and
what is missing is asked for again.
"""

from __future__ import annotations

from taskrun.domain.control_plane.active_run import ActiveRun
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.follow_ups import FollowUps
from taskrun.domain.control_plane.room import size_of
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.events import MessageRefused
from taskrun.domain.limits import MAX_OUTPUT_BYTES
from taskrun.domain.protocol import CancelRun, RunDirective, RunReport
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage
from taskrun.domain.status import RunStatus, Verdict

_SUPERSEDED = "the run is over or belongs to another worker"


class Hearing:
    """Takes in each word once."""

    def __init__(self, fleet: Fleet, runs: Runs, follow_ups: FollowUps) -> None:
        self._fleet, self._runs, self._follow_ups = fleet, runs, follow_ups

    def report(self, turn: Turn, worker: Worker, report: RunReport) -> None:
        """A run started, is being stopped, or ended."""
        run_id, status = report.run_id, report.status
        active = self._owned(turn, worker, run_id, "status", told_to_stop=status is RunStatus.RUNNING)
        if active is None:
            if status.is_terminal and run_id in worker.overdue:
                self._fleet.freed(turn, worker, run_id)
        elif not self._is_next(turn, active, report.seq):
            return
        elif status.is_terminal:
            active.learn(report)
            self._runs.end(turn, active, report)
        elif status is RunStatus.RUNNING and active.run.status is RunStatus.ASSIGNED:
            self._runs.start(turn, active)
        else:
            if report.gone_within_ms:
                self._runs.stopping(turn, active, report.gone_within_ms / 1000)
            self._runs.note(turn, active)

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
        if active is None or not self._is_next(turn, active, body.seq):
            return
        active.learn(body)
        if self._has_room(turn, active, body):
            self._runs.tell(turn, active, body)
        if isinstance(body, RunMessage):
            self._follow_ups.confirmed(turn, active, body)

    # Who may speak, and what is new.

    def _owned(self, turn: Turn, worker: Worker, run_id: str, what: str, told_to_stop: bool = True) -> ActiveRun | None:
        """The run, if this worker may speak of it; otherwise the message is refused, and the worker told to stop."""
        late = self._fleet.heard_of(worker, run_id)
        active = self._runs.of_run(run_id)
        if active is not None and active.worker is worker:
            return active
        turn.events.append(MessageRefused(worker.id, run_id, what))
        if told_to_stop and run_id not in worker.overdue:
            stop = RunDirective(run_id, Verdict.STOP) if worker.resumes else CancelRun(run_id, _SUPERSEDED)
            turn.send(worker.session, stop)
        elif told_to_stop and late:
            # It was told before it began, and its slot is free when it reports the end.
            turn.send(worker.session, CancelRun(run_id, _SUPERSEDED))
        return None

    def _is_next(self, turn: Turn, active: ActiveRun, seq: int | None) -> bool:
        """Whether this is what the worker says next of the run; one whose runs end with its stream is believed."""
        if seq is None or not active.worker.resumes:
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

    # How much is kept.

    def _keep(self, turn: Turn, active: ActiveRun, segment: OutputSegment) -> None:
        """Adds output to the story, unless it is only the empty chunk with which a worker ends it."""
        if not any(segment.contents):
            self._runs.note(turn, active)
        elif self._has_room(turn, active, segment):
            self._runs.tell(turn, active, segment, len(segment.contents))

    def _has_room(self, turn: Turn, active: ActiveRun, body: OutputSegment | RunEvent | RunMessage) -> bool:
        """Whether the story takes this from the run as well. The first that is too much leaves a mark in it."""
        if active.kept_bytes > MAX_OUTPUT_BYTES:
            self._runs.note(turn, active)
            return False
        active.kept_bytes += size_of(body)
        if active.kept_bytes > MAX_OUTPUT_BYTES:
            at = body.first_seq if isinstance(body, OutputSegment) else active.next_seq
            self._runs.tell(turn, active, OutputSegment(active.run.id, at, (), truncated=True))
            return False
        return True
