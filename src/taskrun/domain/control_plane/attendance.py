"""Workers come, go, come back, are lost; and how long is waited for each of these.

A stream that breaks or falls silent does not lose a worker: it has its grace to come back to its runs. Where several
control planes share a store it may come back to another one than it left, which asks the store whose runs it brings.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskrun.domain.batch import ClaimRuns, RunsClaimed
from taskrun.domain.certificates.presence import revoked
from taskrun.domain.control_plane.fleet import Fleet
from taskrun.domain.control_plane.inputs import (
    ConnectWorker,
    TasksInherited,
    WorkerElsewhere,
    WorkerExpelled,
    WorkerGone,
)
from taskrun.domain.control_plane.reunion import Reunion
from taskrun.domain.control_plane.runs import Runs
from taskrun.domain.control_plane.stranding import Stranding
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import Worker
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.errors import PermissionDenied, ProtocolViolation, TaskRunError, Unavailable
from taskrun.domain.protocol import Hello
from taskrun.domain.records import Task
from taskrun.domain.status import WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers

_DIED = "the control plane died"
_LEFT = "the worker went to another control plane without the run"


class Attendance:
    """Lets workers in and out, and sees to the runs that they had."""

    def __init__(
        self, fleet: Fleet, runs: Runs, stranding: Stranding, timers: ControlPlaneTimers, *, shared: bool
    ) -> None:
        """`shared`: workers come over from other control planes."""
        self._fleet, self._runs, self._stranding, self._timers = fleet, runs, stranding, timers
        self._reunion = Reunion(fleet, runs)
        self._shared = shared
        self._closed = False
        #: When a stream that stays silent is cut, by session.
        self._silences: Deadlines[int] = Deadlines()
        #: When a worker that does not come back is lost, by its id.
        self._graces: Deadlines[str] = Deadlines()
        #: Workers that wait for the store's word about runs that they bring along, by session.
        self._arriving: dict[int, ConnectWorker] = {}
        #: Tasks that are ours by a meeting whose news is still on its way, and that a worker has brought before it.
        self._foretold: set[str] = set()

    def close(self) -> None:
        """Nobody is let in any more."""
        self._closed = True

    def next(self) -> float | None:
        """When the first silence or grace may be over; seconds, monotonic."""
        return min((at for each in (self._silences, self._graces) if (at := each.next()) is not None), default=None)

    def expire(self, turn: Turn) -> None:
        """Cuts off who has said nothing for too long, and waits no longer for whom was waited for long enough."""
        while (session := self._silences.pop(turn.now.mono)) is not None:
            self._listen(turn, session)
        while (worker_id := self._graces.pop(turn.now.mono)) is not None:
            worker = self._fleet.of_id(worker_id)
            assert worker is not None
            self._lose(turn, worker)

    # In.

    def connect(self, turn: Turn, request: ConnectWorker) -> None:
        """Who comes over from another control plane brings its runs along. Who has some that nobody here has heard of
        waits until the store has said whose they are; what others believe it to have, and it has not, is lost."""
        if self._closed or not self._shared:
            self._let_in(turn, request)
            return
        turn.batch.asks.append(ClaimRuns(request.session, request.worker_id))
        if self._reunion.knows(request.worker_id, request.hello.live_runs):
            self._let_in(turn, request)
        else:
            self._arriving[request.session] = request

    def runs_claimed(self, turn: Turn, answer: RunsClaimed) -> None:
        """The store has said whose the runs are: now the worker is let in."""
        session = answer.ask.ref
        assert isinstance(session, int)
        # Its stream may have ended meanwhile.
        request = self._arriving.pop(session, None)
        known = self._fleet.of_id(answer.ask.worker_id)
        if request is not None and known is not None and answer.tasks:
            self._cut(turn, known, _newer_stream())
        self.take_over(turn, self._news_of(turn, answer), _LEFT)
        if request is not None:
            self._let_in(turn, request)

    def _news_of(self, turn: Turn, answer: RunsClaimed) -> list[Task]:
        """Those of the claimed tasks of which nothing is known here, nor was decided in this turn."""
        tasks = [task for task in answer.tasks if task.id not in turn.batch.tasks and not self._reunion.has(task)]
        self._foretold |= {task.id for task in tasks if task.id in answer.own}
        return tasks

    def _let_in(self, turn: Turn, request: ConnectWorker) -> None:
        if self._closed:
            turn.replies.append((request.reply, shutting_down()))
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

    # Runs whose worker may still come.

    def inherited(self, turn: Turn, news: TasksInherited) -> None:
        """What a control plane had that died is had here from now on."""
        self.take_over(turn, [task for task in news.tasks if task.id not in self._foretold], _DIED)
        self._foretold.difference_update(task.id for task in news.tasks)

    def take_over(self, turn: Turn, tasks: Iterable[Task], why: str) -> None:
        """Their workers are given the time to come; of those that will not this is why their runs are lost."""
        for task in tasks:
            worker = self._reunion.recover(turn, task, why)
            if worker is not None:
                self._await(turn, worker)

    def elsewhere(self, turn: Turn, news: WorkerElsewhere) -> None:
        """It is not waited for: what it came there with is no longer here, and what is here it has not."""
        worker = self._fleet.of_id(news.worker_id)
        if worker is not None and not self._fleet.is_here(worker):
            self._runs.take_back(turn, worker, _LEFT)
            self._lose(turn, worker)

    # Out.

    def hello_again(self, turn: Turn, worker: Worker, hello: Hello) -> None:
        """A second hello on one stream is no word of the protocol."""
        self._cut(turn, worker, ProtocolViolation("A stream has one hello, as its first message."))

    def gone(self, turn: Turn, gone: WorkerGone) -> None:
        """Its stream has ended."""
        self._arriving.pop(gone.session, None)
        worker = self._fleet.of_session(gone.session)
        if worker is not None:
            self._disconnect(turn, worker)

    def expelled(self, turn: Turn, news: WorkerExpelled) -> None:
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

    def _listen(self, turn: Turn, session: int) -> None:
        """Cuts the stream if nothing was heard since the deadline was armed; heartbeats do not move it each time."""
        worker = self._fleet.of_session(session)
        assert worker is not None
        quiet_until = worker.last_contact + self._timers.silence
        if quiet_until > turn.now.mono:
            self._silences.arm(session, quiet_until)
        else:
            self._cut(turn, worker, Unavailable("Nothing was heard from this worker for too long."))


def shutting_down() -> Unavailable:
    """What is said to who comes when nobody is let in any more."""
    return Unavailable("The control plane is shutting down.")


def _newer_stream() -> Unavailable:
    return Unavailable("A newer stream of this worker took its place.")


def _another_process() -> PermissionDenied:
    """Coming again is no use to it: two that take each other's place would lose all their runs, over and over."""
    return PermissionDenied("Another worker came with the same certificate: each needs one of its own.")
