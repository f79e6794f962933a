"""A worker without an event loop: the daemon's pure core, agents that do as they are told, and a link that breaks.

It lives in a `Simulation`, on its clock. What it sends lies on the link until `deliver` brings it to the control plane,
and what it is sent until `hear` brings it here; `cut` loses what is on its way. Each side finds that out by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from taskrun.domain.control_plane.inputs import WorkerGone, WorkerSpoke
from taskrun.domain.daemon.effects import Dial, Finish, HangUp, StartAgent, StopAgent
from taskrun.domain.daemon.news import (
    AgentEnded,
    ControlPlaneSpoke,
    DaemonBegan,
    DrainAsked,
    LinkLost,
    LinkOpened,
    News,
    OutboxSent,
    TimePassed,
)
from taskrun.domain.daemon.session import DaemonCore
from taskrun.domain.errors import PermissionDenied, TaskRunError, Unavailable
from taskrun.domain.protocol import FromWorker, LiveRun, RunReport
from taskrun.domain.records import RunEvent
from taskrun.domain.status import FailureKind, RunEventType, RunStatus
from taskrun.domain.timers import DaemonTimers
from taskrun.testing.simulation import Simulation

#: The session of a stream that does not lead to the control plane.
NOWHERE = -1
#: The agent that it offers.
AGENT = "echo"


class SimulatedWorker:
    """One worker, in one process after the other."""

    def __init__(self, sim: Simulation, worker_id: str, slots: int = 2) -> None:
        self.sim, self.id, self.slots = sim, worker_id, slots
        self.timers = DaemonTimers()
        #: What each run has said, its output and the ids of its events, since the beginning.
        self.said: dict[str, list[str]] = {}
        #: Its stream, the last one if that is over; what lies on it; and whether it carries nothing any more.
        self.session = 0
        self.up: deque[Sequence[FromWorker]] = deque()
        self.broken = True
        self._writing = 0
        self._processes = 0
        self._effects: dict[type, Callable[[Any], None]] = {
            Dial: self._dial,
            HangUp: self._hang_up,
            StartAgent: self._start_agent,
            StopAgent: self._stop_agent,
            Finish: self._finish,
        }
        self.begin()

    # Its life.

    def begin(self) -> None:
        """Starts its program, anew if it has run before: what it had is gone, and its agents with it."""
        self._processes += 1
        self.core = DaemonCore({AGENT}, self.slots, self.timers, lambda: 0.5)
        self.agents: dict[str, StartAgent] = {}
        #: By when the agents that were told to stop are gone.
        self.gone_at: dict[str, float] = {}
        self._writing = 0
        self.finished = False
        self.dialling: tuple[LiveRun, ...] | None = None
        self.cut()
        self.feed(DaemonBegan())

    def feed(self, news: News) -> None:
        """Something happened to the daemon."""
        for effect in self.core.handle(news, self.sim.now):
            assert not self.finished
            self._effects[type(effect)](effect)
        assert len(self.agents) <= self.slots

    def drain(self) -> None:
        """It is to end once its runs are over and all is stored."""
        self.feed(DrainAsked())

    def next_deadline(self) -> float | None:
        """When `expire` is wanted."""
        due = (self.core.next_deadline(), *self.gone_at.values())
        return min((at for at in due if at is not None), default=None)

    def expire(self) -> None:
        """Keeps the deadlines that have come."""
        for run_id in [run_id for run_id, at in self.gone_at.items() if at <= self.sim.mono]:
            self.end(run_id, FailureKind.CANCELLED)
        self.feed(TimePassed())

    # Its agents.

    def speak(self, run_id: str) -> None:
        """The run's agent writes a chunk."""
        if not self.core.outbox.full:
            self._say(run_id, text := f"{run_id}:{len(self.said[run_id])}")
            self.agents[run_id].lane.text(text)

    def report(self, run_id: str) -> None:
        """The run's agent tells of an event."""
        if not self.core.outbox.full:
            self._say(run_id, event_id := f"{run_id}-{len(self.said[run_id])}")
            self.agents[run_id].lane.add(RunEvent(run_id, RunEventType.TOOL_REQUESTED, id=event_id))

    def end(self, run_id: str, failure: FailureKind | None = None) -> None:
        """The run's agent is gone."""
        del self.agents[run_id]
        self.gone_at.pop(run_id, None)
        status = RunStatus.FAILED if failure else RunStatus.COMPLETED
        self.feed(AgentEnded(RunReport(run_id, status, failure=failure)))

    def _say(self, run_id: str, word: str) -> None:
        if not self.agents[run_id].lane.closed:
            self.said[run_id].append(word)

    def _start_agent(self, effect: StartAgent) -> None:
        run_id = effect.run.run_id
        assert run_id not in self.said, f"run {run_id} began twice"
        self.said[run_id] = []
        self.agents[run_id] = effect

    def _stop_agent(self, effect: StopAgent) -> None:
        self.gone_at[effect.run_id] = self.sim.mono + self.timers.stop_grace

    # Its link.

    def connect(self) -> None:
        """The attempt to connect succeeds, or is refused by the control plane."""
        assert self.dialling is not None
        live_runs, self.dialling = self.dialling, None
        process = f"{self.id}-{self._processes}"
        try:
            self.session = self.sim.connect(self.id, (AGENT,), slots=self.slots, process=process, live_runs=live_runs)
        except TaskRunError as error:
            self._lost(error)
        else:
            self.broken = False
            self.feed(LinkOpened())

    def fail_to_connect(self) -> None:
        """Nobody answers."""
        self.dialling = None
        self._lost(Unavailable("Nobody answers."))

    def connect_to_nobody(self) -> None:
        """A stream opens that leads nowhere: somebody between the two took it."""
        self.dialling, self.session = None, NOWHERE
        self.feed(LinkOpened())

    def take(self, frame_size: int = 1000) -> None:
        """Puts all it has to say on the link, in transport messages of so many messages each."""
        self.taken()
        if not self.core.connected or not self.core.outbox:
            return
        messages = self.core.outbox.take()
        frames = [messages[start : start + frame_size] for start in range(0, len(messages), frame_size)]
        self._writing = len(frames)
        if not self.broken:
            self.up.extend(frames)

    def taken(self) -> None:
        """The transport says that it took what was last put on the link."""
        if self._writing:
            self.core.outbox.sent(self._writing)
            self._writing = 0
            self.feed(OutboxSent())

    def deliver(self) -> None:
        """The next transport message comes to the control plane."""
        if self.up:
            self.sim.turn(WorkerSpoke(self.session, self.up.popleft()))

    def hear(self, count: int = 1000) -> None:
        """The next messages come to the worker; after the last, the end of a stream that the control plane ended."""
        if not self.core.connected:
            return
        messages = self.sim.sent.pop(self.session, [])
        if self.broken:
            return
        if messages[count:]:
            self.sim.sent[self.session] = messages[count:]
        if messages:
            self.feed(ControlPlaneSpoke(messages[:count]))
        elif self.session in self.sim.closed:
            self._lost(self.sim.closed[self.session])

    def cut(self) -> None:
        """The link breaks, and what is on it is gone. Nobody knows yet."""
        self.broken = True
        self.up.clear()
        self.sim.sent.pop(self.session, None)

    def notice(self) -> None:
        """The worker finds its link broken."""
        if self.broken and self.core.connected:
            self._lost(Unavailable("The stream was cut."))

    def be_missed(self) -> None:
        """The control plane finds the link broken."""
        if self.broken and self.session:
            self.sim.turn(WorkerGone(self.session))

    def _dial(self, effect: Dial) -> None:
        assert self.dialling is None
        self.dialling = effect.live_runs

    def _hang_up(self, effect: HangUp) -> None:
        # The control plane finds out by `be_missed`, by silence, or by the next hello.
        self.cut()
        self._writing = 0

    def _finish(self, effect: Finish) -> None:
        assert not self.agents
        self.finished = True
        self.cut()

    def _lost(self, error: TaskRunError) -> None:
        self.feed(LinkLost(error, final=isinstance(error, PermissionDenied)))


class Village:
    """Several workers and their control plane, on one clock."""

    def __init__(self, sim: Simulation, *workers: SimulatedWorker) -> None:
        self.sim, self.workers = sim, workers

    def wait(self, seconds: float) -> None:
        """Time passes, and each deadline is kept, in order."""
        until = self.sim.mono + seconds
        while True:
            due = [at for worker in self.workers if (at := worker.next_deadline()) is not None and at <= until]
            self.sim.wait(max(0.0, min(due, default=until) - self.sim.mono))
            if not due:
                return
            for worker in self.workers:
                worker.expire()

    def carry(self) -> None:
        """All that is under way arrives, and all that follows from it without time passing."""
        for worker in self.workers:
            worker.notice()
            worker.be_missed()
            if worker.dialling is not None:
                worker.connect()
            worker.take()
            worker.taken()
            while worker.up:
                worker.deliver()
        self.sim.settle()
        for worker in self.workers:
            worker.hear()

    def restart(self, *, torn: bool = False) -> None:
        """The control plane dies and begins anew; with `torn` it has just decided something and not stored it."""
        if torn:
            spoken = [WorkerSpoke(worker.session, worker.up[0]) for worker in self.workers if worker.up]
            self.sim.core.handle(spoken, self.sim.now)
        for worker in self.workers:
            worker.cut()
        self.sim.restart()

    def check(self) -> None:
        """No task is executed in two places, and no worker is given more than it takes."""
        tasks = [start.run.task_id for worker in self.workers for start in worker.agents.values()]
        assert len(tasks) == len(set(tasks)), f"one of {tasks} runs twice"
        for worker in self.workers:
            view = self.sim.core.worker(worker.id)
            assert view is None or view.active_runs <= worker.slots

    @property
    def is_quiet(self) -> bool:
        """Everything has ended, and nobody keeps anything for anybody."""
        return (
            all(task.status.is_terminal for task in self.sim.store.tasks.values())
            and not any(worker.agents or worker.core.outbox.weight for worker in self.workers)
            and not any(worker.overdue or worker.runs for worker in self.sim.core._fleet.all())
        )
