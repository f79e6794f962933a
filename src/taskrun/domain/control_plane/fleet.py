"""The connected workers: who they are, how they stand, how many runs they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.events import SlotsChanged, WorkerConnected, WorkerMoved
from taskrun.domain.machines.worker import WORKER, WorkerEvent
from taskrun.domain.protocol import FEATURES, Heartbeat, HeartbeatAck, Hello, HelloAck
from taskrun.domain.records import WorkerInfo, WorkerView
from taskrun.domain.scheduler import Scheduler
from taskrun.domain.status import WorkerStatus

#: What a worker may say of itself, by whether it has runs. Anything else in a heartbeat says nothing.
_REPORTS: dict[tuple[WorkerStatus, bool], WorkerEvent] = {
    (WorkerStatus.IDLE, False): WorkerEvent.REPORTED_FREE,
    (WorkerStatus.IDLE, True): WorkerEvent.REPORTED_WORKING,
    (WorkerStatus.BUSY, False): WorkerEvent.REPORTED_FREE,
    (WorkerStatus.BUSY, True): WorkerEvent.REPORTED_WORKING,
    (WorkerStatus.DRAINING, False): WorkerEvent.REPORTED_DRAINING,
    (WorkerStatus.DRAINING, True): WorkerEvent.REPORTED_DRAINING,
    (WorkerStatus.ERROR, False): WorkerEvent.REPORTED_ERROR,
    (WorkerStatus.ERROR, True): WorkerEvent.REPORTED_ERROR,
}
_TAKES_RUNS = frozenset({WorkerStatus.IDLE, WorkerStatus.BUSY})


@dataclass(eq=False, slots=True)
class Worker:
    """A worker on its stream."""

    id: str
    session: int
    info: WorkerInfo
    features: frozenset[str]
    max_concurrent_runs: int
    connected_at_ms: int
    status: WorkerStatus = WorkerStatus.IDLE
    last_heartbeat_ms: int = 0
    #: Seconds, monotonic: when anything was last heard.
    last_contact: float = 0.0
    #: The ids of its runs.
    runs: set[str] = field(default_factory=set)
    #: Runs that have ended for us while the worker may still execute them: each holds its slot until it reports.
    overdue: set[str] = field(default_factory=set)
    #: Runs of these that it never started: until it says anything about them it is offered none.
    unstarted: set[str] = field(default_factory=set)
    #: It refused a run: it is offered none before its next heartbeat.
    held: bool = False

    @property
    def active_runs(self) -> int:
        return len(self.runs) + len(self.overdue)

    def view(self) -> WorkerView:
        return WorkerView(
            self.id,
            self.info,
            self.status,
            self.active_runs,
            self.max_concurrent_runs,
            self.last_heartbeat_ms,
            self.connected_at_ms,
        )


class Fleet:
    """Every connected worker by its session and by its id; the scheduler knows each by its session."""

    def __init__(self, scheduler: Scheduler[int], seen: set[str]) -> None:
        """`seen` are the ids of the workers that were ever let in, kept from one core to the next."""
        self._scheduler = scheduler
        self._by_session: dict[int, Worker] = {}
        self._by_id: dict[str, Worker] = {}
        self._seen = seen
        self._slots = (0, 0)

    def of_session(self, session: int) -> Worker | None:
        """The worker on this stream, while the stream lives."""
        return self._by_session.get(session)

    def of_id(self, worker_id: str) -> Worker | None:
        """The worker of this id, while it is connected or may still come back."""
        return self._by_id.get(worker_id)

    def all(self) -> Iterable[Worker]:
        """Every worker that is connected or may still come back."""
        return self._by_id.values()

    def connect(self, turn: Turn, session: int, worker_id: str, hello: Hello) -> Worker:
        """Lets the worker in. No worker of that id may be known."""
        now = turn.now
        worker = Worker(
            worker_id, session, hello.info, hello.features, hello.max_concurrent_runs, now.utc_ms, last_contact=now.mono
        )
        self._by_session[session] = self._by_id[worker_id] = worker
        agents = (agent.name for agent in hello.info.agents)
        self._scheduler.join(session, agents, hello.info.labels, worker.max_concurrent_runs)
        turn.events.append(WorkerConnected(worker_id, again=worker_id in self._seen))
        turn.events.append(WorkerMoved(worker_id, None, worker.status))
        turn.send(session, HelloAck(worker_id, frozenset(FEATURES)))
        self._seen.add(worker_id)
        return worker

    def heartbeat(self, turn: Turn, worker: Worker, beat: Heartbeat) -> None:
        """Takes in how the worker stands. How many runs it has is for us to count, not for it to say."""
        worker.last_heartbeat_ms = turn.now.utc_ms
        worker.held = False
        if beat.max_concurrent_runs != worker.max_concurrent_runs:
            worker.max_concurrent_runs = beat.max_concurrent_runs
            self._scheduler.resize(worker.session, beat.max_concurrent_runs)
        report = _REPORTS.get((beat.status, bool(worker.active_runs)))
        if report is not None:
            self._move(turn, worker, report)
        self._offer(worker)
        turn.send(worker.session, HeartbeatAck(beat.timestamp_ms))

    def hold(self, worker: Worker) -> None:
        """It refused a run: what it says next decides."""
        worker.held = True
        self._offer(worker)

    def took(self, turn: Turn, worker: Worker, run_id: str) -> None:
        """The worker has one more run, in a slot that the scheduler has taken."""
        worker.runs.add(run_id)
        self._move(turn, worker, WorkerEvent.TOOK_RUN)

    def overdue(self, worker: Worker, run_id: str, *, started: bool) -> None:
        """The run has ended without its worker's word: its slot stays taken."""
        worker.runs.discard(run_id)
        worker.overdue.add(run_id)
        if not started:
            worker.unstarted.add(run_id)
            self._offer(worker)

    def heard_of(self, worker: Worker, run_id: str) -> None:
        """The worker said something about a run that it did not start in time: it does work."""
        if run_id in worker.unstarted:
            worker.unstarted.discard(run_id)
            self._offer(worker)

    def freed(self, turn: Turn, worker: Worker, run_id: str) -> None:
        """The worker has this run no longer."""
        worker.runs.discard(run_id)
        worker.overdue.discard(run_id)
        self._scheduler.release(worker.session)
        if not worker.active_runs and worker.session in self._by_session:
            self._move(turn, worker, WorkerEvent.BECAME_FREE)

    def disconnect(self, turn: Turn, worker: Worker) -> None:
        """The stream is gone; the worker may come back."""
        del self._by_session[worker.session]
        self._scheduler.leave(worker.session)
        self._move(turn, worker, WorkerEvent.STREAM_BROKE)

    def forget(self, turn: Turn, worker: Worker) -> None:
        """The grace is over."""
        self._move(turn, worker, WorkerEvent.GRACE_OVER)
        turn.events.append(WorkerMoved(worker.id, worker.status, None))
        del self._by_id[worker.id]

    def report_slots(self, turn: Turn) -> None:
        """Tells of the slots, if they changed in this turn."""
        slots = (self._scheduler.taken, self._scheduler.slots)
        if slots != self._slots:
            self._slots = slots
            turn.events.append(SlotsChanged(*slots))

    def _offer(self, worker: Worker) -> None:
        if worker.session in self._by_session:
            works = worker.status in _TAKES_RUNS and not worker.unstarted
            self._scheduler.offer(worker.session, open=works and not worker.held)

    def _move(self, turn: Turn, worker: Worker, event: WorkerEvent) -> None:
        old, worker.status = worker.status, WORKER.after(worker.status, event)
        if worker.status is not old:
            turn.events.append(WorkerMoved(worker.id, old, worker.status))
