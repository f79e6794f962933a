"""The control plane's core: inputs in, a turn out. It awaits nothing, reads no clock and makes up no id.

It holds the connected workers and the runs they have, never the backlog: a task that waits is in the store, known here
only as one more that waits for its requirement.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from taskrun.domain.batch import (
    CancelRelayed,
    Disowned,
    ExpiredClaimed,
    KeyFound,
    RateTaken,
    Recovery,
    RunsClaimed,
    StrandedClaimed,
    TaskClaimed,
    TasksClaimed,
    TurnedAway,
)
from taskrun.domain.control_plane.attendance import Attendance, shutting_down
from taskrun.domain.control_plane.creating import Creating
from taskrun.domain.control_plane.expiry import Expiry
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.follow_ups import FollowUps
from taskrun.domain.control_plane.hearing import Hearing
from taskrun.domain.control_plane.inputs import (
    CancelTask,
    CancelWanted,
    ConnectWorker,
    ContinueTask,
    CreateTask,
    DrainStarted,
    Input,
    MessagesAnswered,
    MessagesLeft,
    PolicyChanged,
    QueueGrew,
    QueueSeen,
    RoomMade,
    RosterSeen,
    TasksInherited,
    WorkerElsewhere,
    WorkerExpelled,
    WorkerGone,
    WorkerSpoke,
)
from taskrun.domain.control_plane.overbooking import let_wait
from taskrun.domain.control_plane.queue import Queue
from taskrun.domain.control_plane.relaying import Relaying
from taskrun.domain.control_plane.rest import Rest
from taskrun.domain.control_plane.roster import matching
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.stranding import Stranding
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.events import TasksHeld
from taskrun.domain.now import Now
from taskrun.domain.protocol import Heartbeat, Hello, RunReport
from taskrun.domain.quotas import FREE, Policy
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage, Task, WorkerView
from taskrun.domain.relayed import (
    ClaimMessages,
    MessageAnswered,
    MessageCollected,
    MessageRelayed,
    MessagesClaimed,
)
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.status import WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers

_RESTARTED = "the control plane restarted"


class ControlPlaneCore:
    """Decides everything; one at a time."""

    def __init__(
        self,
        timers: ControlPlaneTimers,
        new_id: Callable[[], str],
        seen: set[str] | None = None,
        *,
        shared: bool = False,
        policy: Policy = FREE,
    ) -> None:
        """`seen` are the ids of workers that an earlier core has let in; this one adds its own.

        `shared`: other control planes may be on the same store, and workers come over from them. `policy` has
        the limits that hold at first.
        """
        self._draining = False
        scheduler: Scheduler[int] = Scheduler(policy, shared=shared)
        self._scheduler = scheduler
        #: As telemetry was told.
        self._held: dict[str, int] = {}
        self._fleet = Fleet(scheduler, set() if seen is None else seen, timers.grace)
        self._run_deadlines: Deadlines[str] = Deadlines()
        self._rest = Rest()
        self._expiry = Expiry(scheduler)
        self._stranding = Stranding(self._fleet, timers, shared=shared)
        self._runs = Runs(
            self._fleet, scheduler, self._run_deadlines, self._rest, self._expiry, self._stranding, timers, new_id
        )
        self._creating = Creating(scheduler, self._runs, new_id, shared=shared)
        self._queue = Queue(scheduler, self._runs, self._rest, self._expiry, self._stranding)
        self._relaying = Relaying(timers)
        relaying = self._relaying if shared else None
        self._follow_ups = FollowUps(self._fleet, self._runs, self._creating, relaying, timers, new_id)
        self._hearing = Hearing(self._fleet, self._runs, self._follow_ups)
        self._attendance = Attendance(self._fleet, self._runs, self._stranding, timers, shared=shared)
        # Typed by their keys; the dispatch is one look-up for each input and message.
        self._handlers: dict[type, Callable[[Turn, Any], None]] = {
            CreateTask: self._create,
            CancelTask: self._queue.cancel,
            ContinueTask: self._continue,
            ConnectWorker: self._attendance.connect,
            WorkerSpoke: self._spoke,
            WorkerGone: self._attendance.gone,
            WorkerExpelled: self._attendance.expelled,
            DrainStarted: self._drain,
            PolicyChanged: self._rule,
            TasksClaimed: self._queue.tasks_claimed,
            TaskClaimed: self._queue.task_claimed,
            ExpiredClaimed: self._expiry.claimed,
            StrandedClaimed: self._queue.stranded,
            KeyFound: self._creating.key_found,
            RateTaken: self._creating.rate_taken,
            TurnedAway: self._creating.turned_away,
            CancelRelayed: self._queue.cancel_relayed,
            RunsClaimed: self._attendance.runs_claimed,
            Disowned: self._disowned,
            TasksInherited: self._attendance.inherited,
            QueueSeen: self._queue.seen,
            QueueGrew: self._queue.grew,
            RoomMade: self._queue.room_made,
            CancelWanted: self._queue.wanted,
            WorkerElsewhere: self._attendance.elsewhere,
            RosterSeen: self._stranding.seen,
            MessagesLeft: self._claim_messages,
            MessagesClaimed: self._follow_ups.claimed,
            MessagesAnswered: self._relaying.answered,
            MessageRelayed: self._relaying.relayed,
            MessageAnswered: self._relaying.answered_here,
            MessageCollected: self._relaying.collected,
        }
        self._messages: dict[type, Callable[[Turn, Worker, Any], None]] = {
            Heartbeat: self._fleet.heartbeat,
            RunReport: self._hearing.report,
            OutputSegment: self._hearing.output,
            RunEvent: self._hearing.happened,
            RunMessage: self._hearing.happened,
            Hello: self._attendance.hello_again,
        }

    def recover(self, recovery: Recovery, now: Now) -> Turn:
        """The first turn: takes over what a store holds. Workers are given the time to come back to their runs."""
        turn = Turn(now)
        for requirement, backlog in recovery.backlog.items():
            self._scheduler.wait(requirement, backlog.waiting)
        self._expiry.expect(turn, recovery.expires_at_ms)
        self._stranding.begin(turn, recovery.backlog)
        self._attendance.take_over(turn, recovery.active, _RESTARTED)
        return turn

    def handle(self, inputs: Iterable[Input], now: Now) -> Turn:
        """Takes the inputs in their order, then whatever has fallen due."""
        turn = Turn(now)
        for item in inputs:
            self._handlers[type(item)](turn, item)
        self._expire(turn)
        self._queue.ask(turn)
        self._creating.ask(turn)
        self._tell_held(turn)
        self._fleet.tell_stored(turn)
        self._fleet.report_slots(turn)
        return turn

    def overbooked(self, turn: Turn, task_ids: Collection[str]) -> None:
        """These new tasks of the turn, of which nothing is stored, would be more than may run: they wait."""
        let_wait(turn, task_ids)
        for task_id in task_ids:
            self._runs.call_off(turn, turn.batch.tasks[task_id])
        # Whose slots they had may be had by others; and who fills the accounts a claim is told.
        self._queue.claim(turn)
        self._tell_held(turn)
        self._fleet.report_slots(turn)

    def next_deadline(self) -> float | None:
        """When `handle` is wanted again even without an input, on the monotonic clock."""
        runs = (self._run_deadlines, self._follow_ups, self._relaying)
        all_of_them = (*runs, self._attendance, self._rest, self._expiry, self._stranding)
        return min((at for each in all_of_them if (at := each.next()) is not None), default=None)

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> list[WorkerView]:
        """The workers that are connected or may still come back, by id, if they match."""
        return matching((worker.view() for worker in self._fleet.all()), agent, status)

    def worker(self, worker_id: str) -> WorkerView | None:
        """One of them."""
        worker = self._fleet.of_id(worker_id)
        return worker.view() if worker else None

    def held_by(self, task: Task) -> str:
        """Which limit holds the waiting task, for people; "" if none does here."""
        account = self._scheduler.holding(task.requirement)
        return account.story if account else ""

    def rests_until_ms(self, task_id: str, now: Now) -> int:
        """Until when the task rests before its next attempt (Unix ms); 0 if it does not do so here."""
        until = self._rest.until(task_id)
        return 0 if until is None else now.utc_ms + round((until - now.mono) * 1000)

    # Other control planes on the same store.

    def _disowned(self, turn: Turn, news: Disowned) -> None:
        for task_id in news.task_ids:
            self._runs.drop(turn, task_id)
            self._rest.end(task_id)

    def _claim_messages(self, turn: Turn, news: MessagesLeft) -> None:
        turn.batch.asks.append(ClaimMessages())

    # Callers.

    def _create(self, turn: Turn, request: CreateTask) -> None:
        if self._draining:
            turn.replies.append((request.reply, shutting_down()))
        else:
            self._creating.create(turn, request)

    def _continue(self, turn: Turn, request: ContinueTask) -> None:
        if self._draining:
            turn.replies.append((request.reply, shutting_down()))
        else:
            self._follow_ups.go_on(turn, request)

    def _drain(self, turn: Turn, request: DrainStarted) -> None:
        """Nobody is let in any more, and nobody shall wait for a word that may never come."""
        self._draining = True
        self._attendance.close()
        self._fleet.tell_all_stored(turn)

    # Limits.

    def _rule(self, turn: Turn, news: PolicyChanged) -> None:
        self._scheduler.rule(news.policy)
        self._runs.recount(turn)

    def _tell_held(self, turn: Turn) -> None:
        held = self._scheduler.held
        if held != self._held:
            self._held = dict(held)
            turn.events.append(TasksHeld(self._held))

    # Workers.

    def _spoke(self, turn: Turn, spoke: WorkerSpoke) -> None:
        worker = self._fleet.of_session(spoke.session)
        if worker is not None:
            self._fleet.spoke(turn, worker, spoke)
        for message in spoke.messages:
            if self._fleet.of_session(spoke.session) is not worker or worker is None:
                return
            self._messages[type(message)](turn, worker, message)

    # Time.

    def _expire(self, turn: Turn) -> None:
        mono = turn.now.mono
        while (run_id := self._run_deadlines.pop(mono)) is not None:
            self._runs.due(turn, run_id)
        self._follow_ups.expire(turn)
        self._relaying.expire(turn)
        self._queue.rested(turn)
        self._attendance.expire(turn)
