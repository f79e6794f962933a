"""The connected workers: who they are, how they stand, how many runs they take."""

from __future__ import annotations

from collections.abc import Iterable

from taskrun.domain.control_plane.inputs import WorkerSpoke
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.control_plane.worker import NO_SESSION, Worker
from taskrun.domain.events import SlotsChanged, WorkerConnected, WorkerMoved
from taskrun.domain.machines.worker import WORKER, WorkerEvent
from taskrun.domain.protocol import (
    FEATURES,
    FOLLOW_UP,
    MESSAGE_WEIGHT,
    RESUME,
    TOLD_AFTER,
    FromWorker,
    Heartbeat,
    HeartbeatAck,
    Hello,
    HelloAck,
    RunDirective,
    ToWorker,
)
from taskrun.domain.records import OutputSegment, WorkerInfo, WorkerView, labels_of
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

#: So many messages of the transport are told of although there is nothing else to tell. One to a worker costs as much
#: as a task.
MANY_MESSAGES = 32


class Fleet:
    """Every connected worker by its session and by its id; the scheduler knows each by its session."""

    def __init__(self, scheduler: Scheduler[int], seen: set[str], grace: float) -> None:
        """`seen` are the ids of the workers that were ever let in, kept from one core to the next. `grace`: seconds
        after which one that is away has lost its runs."""
        self._scheduler, self._grace_ms = scheduler, round(grace * 1000)
        self._by_session: dict[int, Worker] = {}
        self._by_id: dict[str, Worker] = {}
        self._seen = seen
        self._slots = (0, 0)
        #: Who spoke in this turn, by session.
        self._spoke: dict[int, Worker] = {}

    def of_session(self, session: int) -> Worker | None:
        """The worker on this stream, while the stream lives."""
        return self._by_session.get(session)

    def of_id(self, worker_id: str) -> Worker | None:
        """The worker of this id, while it is connected or may still come back."""
        return self._by_id.get(worker_id)

    def is_here(self, worker: Worker) -> bool:
        """Whether the worker's stream lives."""
        return worker.session in self._by_session

    def all(self) -> Iterable[Worker]:
        """Every worker that is connected or may still come back."""
        return self._by_id.values()

    def connect(self, turn: Turn, session: int, worker_id: str, hello: Hello) -> Worker:
        """Lets the worker in. No worker of that id may be known."""
        worker = Worker(
            worker_id,
            session,
            hello.info,
            hello.features,
            hello.max_concurrent_runs,
            turn.now.utc_ms,
            hello.process if hello.resumes else "",
            hello.stream,
        )
        self._by_id[worker_id] = worker
        self._enter(turn, worker)
        turn.events.append(WorkerConnected(worker_id, again=worker_id in self._seen))
        turn.events.append(WorkerMoved(worker_id, None, worker.status))
        self._seen.add(worker_id)
        return worker

    def expect(self, turn: Turn, worker_id: str, process: str) -> Worker:
        """A worker that has runs and is away. No worker of that id may be known."""
        worker = Worker(worker_id, NO_SESSION, WorkerInfo(), frozenset(), 0, 0, process)
        worker.status = WorkerStatus.DISCONNECTED
        # Nobody remembers when it was heard last: its time to come back begins now.
        worker.last_contact = turn.now.mono
        self._by_id[worker_id] = worker
        self._seen.add(worker_id)
        turn.events.append(WorkerMoved(worker_id, None, worker.status))
        return worker

    def come_back(self, turn: Turn, worker: Worker, session: int, hello: Hello) -> None:
        """The worker is there again, on a new stream, with the runs that it had."""
        worker.session, worker.stream = session, hello.stream
        worker.info, worker.features = hello.info, hello.features
        worker.max_concurrent_runs = hello.max_concurrent_runs
        worker.connected_at_ms = turn.now.utc_ms
        worker.held = False
        worker.unstarted.clear()
        worker.messages = worker.untold_messages = worker.untold_weight = 0
        self._enter(turn, worker)
        turn.events.append(WorkerConnected(worker.id, again=True))
        came_back = WorkerEvent.CAME_BACK_WORKING if worker.active_runs else WorkerEvent.CAME_BACK_FREE
        self._move(turn, worker, came_back)

    def welcome(self, turn: Turn, worker: Worker, directives: Iterable[RunDirective]) -> None:
        """The first message on its stream."""
        features = frozenset(FEATURES) if worker.resumes else frozenset(FEATURES) - {RESUME}
        grace_ms = self._grace_ms if worker.resumes else 0
        turn.send(worker.session, HelloAck(worker.id, features, tuple(directives), grace_ms))

    def send(self, turn: Turn, worker: Worker, message: ToWorker) -> None:
        """Sends it, if the worker is here."""
        if worker.session in self._by_session:
            turn.send(worker.session, message)

    def lack(self, worker_id: str, agent: str, elsewhere: WorkerView | None) -> str | None:
        """Why the worker cannot go on with a session of this agent, if that is known. It may be `elsewhere`."""
        worker = self._by_id.get(worker_id)
        if worker is None and elsewhere is None:
            return "is not connected"
        if worker is not None and worker.session in self._by_session and FOLLOW_UP not in worker.features:
            return "has a version of TaskRun that cannot go on with one"
        agents = {spec.name for view in (worker, elsewhere) if view is not None for spec in view.info.agents}
        # Of one that is awaited since this control plane began nothing is known.
        return f"does not offer the agent {agent} any more" if agents and agent not in agents else None

    def _enter(self, turn: Turn, worker: Worker) -> None:
        worker.last_contact = turn.now.mono
        self._by_session[worker.session] = worker
        agents = (agent.name for agent in worker.info.agents)
        labels = labels_of(worker.info, worker.id)
        self._scheduler.join(worker.session, agents, labels, worker.max_concurrent_runs, worker.active_runs)

    def spoke(self, turn: Turn, worker: Worker, spoke: WorkerSpoke) -> None:
        """A message of the transport came, and is stored with this turn."""
        worker.last_contact = turn.now.mono
        worker.messages += 1
        if worker.resumes:
            worker.untold_messages += 1
            worker.untold_weight += spoke.size + MESSAGE_WEIGHT * sum(map(_count, spoke.messages))
            self._spoke[worker.session] = worker

    def tell_stored(self, turn: Turn) -> None:
        """Tells what is stored: workers that hear something anyway, and those that keep much until they know."""
        for session, worker in self._spoke.items():
            much = worker.untold_messages >= MANY_MESSAGES or worker.untold_weight >= TOLD_AFTER
            if (much or session in turn.sends) and session in self._by_session:
                self._tell_stored(turn, session, worker)
        self._spoke.clear()

    def tell_all_stored(self, turn: Turn) -> None:
        """Tells every worker what is stored, however little it is."""
        for session, worker in self._by_session.items():
            if worker.untold_messages:
                self._tell_stored(turn, session, worker)

    def _tell_stored(self, turn: Turn, session: int, worker: Worker) -> None:
        turn.stored[session] = worker.messages
        worker.untold_messages = worker.untold_weight = 0

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
            self.doubt(worker, run_id)

    def doubt(self, worker: Worker, run_id: str) -> None:
        """The worker did not start the run in time: until it says something about it, it is offered none."""
        worker.unstarted.add(run_id)
        self._offer(worker)

    def heard_of(self, worker: Worker, run_id: str) -> bool:
        """The worker said something about the run. Whether it did not start it in time: it does work."""
        if run_id not in worker.unstarted:
            return False
        worker.unstarted.discard(run_id)
        self._offer(worker)
        return True

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
        slots = (self._scheduler.taken, self._scheduler.vacant)
        if slots != self._slots:
            self._slots = slots
            turn.events.append(SlotsChanged(*slots))

    def _offer(self, worker: Worker) -> None:
        if worker.session in self._by_session:
            self._scheduler.offer(worker.session, open=worker.status.takes_runs and not worker.withheld)

    def _move(self, turn: Turn, worker: Worker, event: WorkerEvent) -> None:
        old, worker.status = worker.status, WORKER.after(worker.status, event)
        if worker.status is not old:
            turn.events.append(WorkerMoved(worker.id, old, worker.status))


def _count(message: FromWorker) -> int:
    """As how many messages it counts where they are kept."""
    return len(message.contents) if isinstance(message, OutputSegment) else 1
