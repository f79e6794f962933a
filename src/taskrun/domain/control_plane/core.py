"""The control plane's core: inputs in, a turn out. It awaits nothing, reads no clock and makes up no id.

It holds the connected workers and the runs they have, never the backlog: a task that waits is in the store, known here
only as one more that waits for its requirement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from taskrun.domain.batch import (
    CancelRelayed,
    ClaimRuns,
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
from taskrun.domain.certificates.presence import revoked
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
from taskrun.domain.control_plane.queue import Queue
from taskrun.domain.control_plane.relaying import Relaying
from taskrun.domain.control_plane.rest import Rest
from taskrun.domain.control_plane.reunion import Reunion
from taskrun.domain.control_plane.roster import matching
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.stranding import Stranding
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.errors import PermissionDenied, ProtocolViolation, TaskRunError, Unavailable
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
_DIED = "the control plane died"
_LEFT = "the worker went to another control plane without the run"


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
        self._timers, self._shared = timers, shared
        self._draining = False
        scheduler: Scheduler[int] = Scheduler(policy, shared=shared)
        self._scheduler = scheduler
        #: As telemetry was told.
        self._held: dict[str, int] = {}
        self._fleet = Fleet(scheduler, set() if seen is None else seen)
        self._run_deadlines: Deadlines[str] = Deadlines()
        #: When a stream that stays silent is cut, by session.
        self._silences: Deadlines[int] = Deadlines()
        #: When a worker that does not come back is lost, by its id.
        self._graces: Deadlines[str] = Deadlines()
        #: Workers that wait for the store's word about runs that they bring along, by session.
        self._arriving: dict[int, ConnectWorker] = {}
        #: Tasks that are ours by a meeting whose news is still on its way, and that a worker has brought before it.
        self._foretold: set[str] = set()
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
        self._reunion = Reunion(self._fleet, self._runs)
        # Typed by their keys; the dispatch is one look-up for each input and message.
        self._handlers: dict[type, Callable[[Turn, Any], None]] = {
            CreateTask: self._create,
            CancelTask: self._queue.cancel,
            ContinueTask: self._continue,
            ConnectWorker: self._connect,
            WorkerSpoke: self._spoke,
            WorkerGone: self._gone,
            WorkerExpelled: self._expelled,
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
            RunsClaimed: self._runs_claimed,
            Disowned: self._disowned,
            TasksInherited: self._inherited,
            QueueSeen: self._queue.seen,
            QueueGrew: self._queue.grew,
            RoomMade: self._queue.room_made,
            CancelWanted: self._queue.wanted,
            WorkerElsewhere: self._elsewhere,
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
            Hello: self._hello_again,
        }

    def recover(self, recovery: Recovery, now: Now) -> Turn:
        """The first turn: takes over what a store holds. Workers are given the time to come back to their runs."""
        turn = Turn(now)
        for requirement, backlog in recovery.backlog.items():
            self._scheduler.wait(requirement, backlog.waiting)
        self._expiry.expect(turn, recovery.expires_at_ms)
        self._stranding.begin(turn, recovery.backlog)
        self._take_over(turn, recovery.active, _RESTARTED)
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

    def next_deadline(self) -> float | None:
        """When `handle` is wanted again even without an input, on the monotonic clock."""
        runs, workers = (self._run_deadlines, self._follow_ups, self._relaying), (self._silences, self._graces)
        all_of_them = (*runs, *workers, self._rest, self._expiry, self._stranding)
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

    def _inherited(self, turn: Turn, news: TasksInherited) -> None:
        self._take_over(turn, [task for task in news.tasks if task.id not in self._foretold], _DIED)
        self._foretold.difference_update(task.id for task in news.tasks)

    def _take_over(self, turn: Turn, tasks: Iterable[Task], why: str) -> None:
        """Their workers are given the time to come; of those that will not this is why their runs are lost."""
        for task in tasks:
            worker = self._reunion.recover(turn, task, why)
            if worker is not None:
                self._await(turn, worker)

    def _disowned(self, turn: Turn, news: Disowned) -> None:
        for task_id in news.task_ids:
            self._runs.drop(turn, task_id)
            self._rest.end(task_id)

    def _elsewhere(self, turn: Turn, news: WorkerElsewhere) -> None:
        """It is not waited for: what it came there with is no longer here, and what is here it has not."""
        worker = self._fleet.of_id(news.worker_id)
        if worker is not None and not self._fleet.is_here(worker):
            self._runs.take_back(turn, worker, _LEFT)
            self._lose(turn, worker)

    def _claim_messages(self, turn: Turn, news: MessagesLeft) -> None:
        turn.batch.asks.append(ClaimMessages())

    # Callers.

    def _create(self, turn: Turn, request: CreateTask) -> None:
        if self._draining:
            turn.replies.append((request.reply, _draining()))
        else:
            self._creating.create(turn, request)

    def _continue(self, turn: Turn, request: ContinueTask) -> None:
        if self._draining:
            turn.replies.append((request.reply, _draining()))
        else:
            self._follow_ups.go_on(turn, request)

    def _drain(self, turn: Turn, request: DrainStarted) -> None:
        """Nobody is let in any more, and nobody shall wait for a word that may never come."""
        self._draining = True
        self._fleet.tell_all_stored(turn)

    # Limits.

    def _rule(self, turn: Turn, news: PolicyChanged) -> None:
        self._scheduler.rule(news.policy)

    def _tell_held(self, turn: Turn) -> None:
        held = self._scheduler.held
        if held != self._held:
            self._held = dict(held)
            turn.events.append(TasksHeld(self._held))

    # Workers.

    def _connect(self, turn: Turn, request: ConnectWorker) -> None:
        """Who comes over from another control plane brings its runs along. Who has some that nobody here has heard of
        waits until the store has said whose they are; what others believe it to have, and it has not, is lost."""
        if self._draining or not self._shared:
            self._let_in(turn, request)
            return
        turn.batch.asks.append(ClaimRuns(request.session, request.worker_id))
        if self._reunion.knows(request.worker_id, request.hello.live_runs):
            self._let_in(turn, request)
        else:
            self._arriving[request.session] = request

    def _runs_claimed(self, turn: Turn, answer: RunsClaimed) -> None:
        session = answer.ask.ref
        assert isinstance(session, int)
        # Its stream may have ended meanwhile.
        request = self._arriving.pop(session, None)
        known = self._fleet.of_id(answer.ask.worker_id)
        if request is not None and known is not None and answer.tasks:
            self._cut(turn, known, _newer_stream())
        self._take_over(turn, self._news_of(turn, answer), _LEFT)
        if request is not None:
            self._let_in(turn, request)

    def _news_of(self, turn: Turn, answer: RunsClaimed) -> list[Task]:
        """Those of the claimed tasks of which nothing is known here, nor was decided in this turn."""
        tasks = [task for task in answer.tasks if task.id not in turn.batch.tasks and not self._reunion.has(task)]
        self._foretold |= {task.id for task in tasks if task.id in answer.own}
        return tasks

    def _let_in(self, turn: Turn, request: ConnectWorker) -> None:
        if self._draining:
            turn.replies.append((request.reply, _draining()))
            return
        hello = request.hello
        if self._is_of_the_past(request):
            turn.replies.append((request.reply, _newer_stream()))
            return
        worker = self._came_back(turn, request)
        if worker is None:
            worker = self._fleet.connect(turn, request.session, request.worker_id, hello)
        self._fleet.welcome(turn, worker, self._reunion.directives(worker, hello.live_runs))
        self._reunion.reunite(turn, worker, hello.live_runs)
        self._silences.arm(request.session, turn.now.mono + self._timers.silence)
        turn.replies.append((request.reply, request.session))

    def _is_of_the_past(self, request: ConnectWorker) -> bool:
        """Whether the worker has opened a newer stream since: this hello was long on its way, and nobody is there."""
        known, hello = self._fleet.of_id(request.worker_id), request.hello
        return known is not None and known.process == hello.process and hello.stream < known.stream

    def _came_back(self, turn: Turn, request: ConnectWorker) -> Worker | None:
        """The worker that is known already, on its new stream: its runs go on."""
        known = self._fleet.of_id(request.worker_id)
        if known is None:
            return None
        same = request.hello.resumes and known.process == request.hello.process
        self._cut(turn, known, _newer_stream() if same or not known.resumes else _another_process())
        if self._fleet.of_id(known.id) is not known:
            return None
        if not same:
            self._lose(turn, known)
            return None
        self._graces.disarm(known.id)
        self._fleet.come_back(turn, known, request.session, request.hello)
        return known

    def _spoke(self, turn: Turn, spoke: WorkerSpoke) -> None:
        worker = self._fleet.of_session(spoke.session)
        if worker is not None:
            self._fleet.spoke(turn, worker, spoke)
        for message in spoke.messages:
            if self._fleet.of_session(spoke.session) is not worker or worker is None:
                return
            self._messages[type(message)](turn, worker, message)

    def _hello_again(self, turn: Turn, worker: Worker, hello: Hello) -> None:
        self._cut(turn, worker, ProtocolViolation("A stream has one hello, as its first message."))

    def _gone(self, turn: Turn, gone: WorkerGone) -> None:
        self._arriving.pop(gone.session, None)
        worker = self._fleet.of_session(gone.session)
        if worker is not None:
            self._disconnect(turn, worker)

    def _expelled(self, turn: Turn, news: WorkerExpelled) -> None:
        """Whether it is here or away: its runs go to others now, for it cannot come back to them."""
        worker = self._fleet.of_id(news.worker_id)
        if worker is None:
            self._stranding.lost(turn, news.worker_id)
            return
        self._cut(turn, worker, revoked())
        if self._fleet.of_id(worker.id) is worker:
            self._lose(turn, worker)

    def _cut(self, turn: Turn, worker: Worker, error: TaskRunError) -> None:
        """Ends the worker's stream, if it is still open."""
        if self._fleet.of_session(worker.session) is not None:
            turn.closes.append((worker.session, error))
            self._disconnect(turn, worker)

    def _disconnect(self, turn: Turn, worker: Worker) -> None:
        self._silences.disarm(worker.session)
        said_goodbye = worker.status is WorkerStatus.DRAINING and not worker.active_runs
        self._fleet.disconnect(turn, worker)
        if worker.resumes and not said_goodbye:
            self._await(turn, worker)
        else:
            self._lose(turn, worker)

    def _await(self, turn: Turn, worker: Worker) -> None:
        """The worker is away: it has a while to come back."""
        if self._timers.grace > 0:
            self._graces.arm(worker.id, max(worker.last_contact + self._timers.grace, turn.now.mono))
        else:
            self._lose(turn, worker)

    def _lose(self, turn: Turn, worker: Worker) -> None:
        """The worker is gone for good: it must be away."""
        self._graces.disarm(worker.id)
        self._runs.lose(turn, worker)
        self._fleet.forget(turn, worker)
        self._stranding.lost(turn, worker.id)

    # Time.

    def _expire(self, turn: Turn) -> None:
        mono = turn.now.mono
        while (run_id := self._run_deadlines.pop(mono)) is not None:
            self._runs.due(turn, run_id)
        self._follow_ups.expire(turn)
        self._relaying.expire(turn)
        self._queue.rested(turn)
        while (session := self._silences.pop(mono)) is not None:
            self._listen(turn, session)
        while (worker_id := self._graces.pop(mono)) is not None:
            worker = self._fleet.of_id(worker_id)
            assert worker is not None
            self._lose(turn, worker)

    def _listen(self, turn: Turn, session: int) -> None:
        """Cuts the stream if nothing was heard since the deadline was armed; heartbeats do not move it each time."""
        worker = self._fleet.of_session(session)
        assert worker is not None
        quiet_until = worker.last_contact + self._timers.silence
        if quiet_until > turn.now.mono:
            self._silences.arm(session, quiet_until)
        else:
            self._cut(turn, worker, Unavailable("Nothing was heard from this worker for too long."))


def _draining() -> Unavailable:
    return Unavailable("The control plane is shutting down.")


def _newer_stream() -> Unavailable:
    return Unavailable("A newer stream of this worker took its place.")


def _another_process() -> PermissionDenied:
    """Coming again is no use to it: two that take each other's place would lose all their runs, over and over."""
    return PermissionDenied("Another worker came with the same certificate: each needs one of its own.")
