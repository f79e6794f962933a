"""A worker's process: what `engine.daemon` is around the daemon's core, with everything that waits as an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from simulation.agenda import Agenda
from simulation.agents import Agent
from simulation.network import END, Connection, DownFrame
from simulation.process import Process
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
from taskrun.domain.protocol import FEATURES, Hello, LiveRun, RunReport
from taskrun.domain.records import AgentSpec, WorkerInfo

if TYPE_CHECKING:
    from simulation.world import World

#: Seconds that a worker waits for the answer to its hello before it takes the stream for open without it, and for one
#: who does not answer at all; as in the gRPC adapter.
_GREETING = 2.0
_CONNECT = 15.0
#: Messages of the core in one message of the transport: all of them, or fewer.
_FRAMES = (1, 2, 5, 1000)


class Worker(Process):
    """One worker, in one life after the other."""

    def __init__(
        self, world: World, agenda: Agenda, chance: Random, name: str, offers: Sequence[str], slots: int
    ) -> None:
        super().__init__(agenda, chance, name)
        self._world = world
        self.slots = slots
        self.info = WorkerInfo(agents=tuple(map(AgentSpec, offers)))
        self._offers = frozenset(offers)
        #: Goes up whenever an attempt to connect begins, and when it ends.
        self._dials = 0
        #: No stream that it opens leads anywhere before this time.
        self.cut_off_until = 0.0
        #: When it said the last thing that a control plane has heard, and what it can know of that: for the oracle.
        self.heard_at = 0.0
        self.known_at = 0.0
        self._effects: dict[type, Callable[[Any], None]] = {
            Dial: self._dial,
            HangUp: self._hang_up,
            StartAgent: self._start_agent,
            StopAgent: self._stop_agent,
            Finish: self._finish,
        }

    @property
    def process(self) -> str:
        """The id of this life."""
        return f"{self.name}-{self.life}"

    @property
    def _is_cut_off(self) -> bool:
        return self.cut_off_until > self.agenda.time

    # Its life.

    def begin(self) -> None:
        """Starts its program."""
        super().begin()
        self._world.note(self.name, "begins as", self.process)
        self.core = DaemonCore(self._offers, self.slots, self._world.daemon_timers, self.chance.random)
        self.agents: dict[str, Agent] = {}
        #: The one that ended last: its run may have another turn.
        self._last: Agent | None = None
        self.link: Connection | None = None
        self._streams = 0
        self._opened = False
        self._writing = False
        self.heard_at = self.known_at = self.agenda.time
        self._feed(DaemonBegan())

    def crash(self) -> None:
        """It is gone, with its agents and all it had to say. It begins again after a while."""
        if self.alive:
            self._world.note(self.name, "dies")
            self._over()

    def drain(self) -> None:
        """It is to end once its runs are over, and to begin again after a while."""
        if self.alive:
            self._feed(DrainAsked())

    def _finish(self, effect: Finish) -> None:
        self._world.note(self.name, "finishes", effect.error)
        assert not self.agents
        self._over()

    def _over(self) -> None:
        for agent in self.agents.values():
            self._world.oracle.gone(agent)
        self.agents = {}
        self._dials += 1
        self.end()
        link, self.link = self.link, None
        if link is not None:
            link.left_by_worker()
        self._world.weather.begin_again(self)

    def _feed(self, news: News) -> None:
        """One piece of news to the core, and everything that comes of it."""
        for effect in self.core.handle(news, self.now()):
            if not self.alive:
                return
            self._effects[type(effect)](effect)
        if self.alive:
            self.wake(self.core.next_deadline(), self._wake)
            self.speak()

    def _wake(self) -> None:
        self._feed(TimePassed())

    # Its link.

    def hear(self, connection: Connection, stamp: float, frame: DownFrame) -> None:
        """A frame of its stream."""
        if connection is not self.link:
            # Whoever speaks to one who is gone hears of it.
            self._world.plane.after(0.0, self._world.plane.miss, connection)
            return
        connection.answered = True
        if isinstance(frame, TaskRunError):
            self._lost(frame)
            return
        self._world.oracle.in_touch(self, stamp)
        self._open(connection)
        if connection is self.link:
            self._feed(ControlPlaneSpoke(frame))

    def miss(self, connection: Connection) -> None:
        """It finds its stream broken."""
        if connection is self.link:
            self._lost(Unavailable("The stream was cut."))

    def speak(self) -> None:
        """Sends what gathered, unless the last write is still under way."""
        link = self.link
        if link is None or not self.core.connected or self._writing or not self.core.outbox:
            return
        messages = self.core.outbox.take()
        self._world.note(self.name, "says", messages)
        size = self.chance.choice(_FRAMES)
        starts = range(0, len(messages), size)
        for start in starts:
            link.up.send(messages[start : start + size], self.agenda.time)
        self._writing = True
        self.after(self.chance.expovariate(1 / self._world.faults.delay), self._written, link, len(starts))

    def _written(self, link: Connection, frames: int) -> None:
        if link is not self.link:
            return
        self._writing = False
        self.core.outbox.sent(frames)
        self.speak()
        if self.core.leaving and not self._writing:
            self._feed(OutboxSent())

    def _dial(self, effect: Dial) -> None:
        world = self._world
        within = self.chance.expovariate(1 / world.faults.delay)
        if self._is_cut_off and world.happens_half():
            self.after(_CONNECT, self._unanswered)
        elif not world.plane.alive:
            self.after(within, self._unanswered)
        else:
            self._dials += 1
            world.plane.after(within, self._shake_hands, self._dials, effect.live_runs)
            self.after(_CONNECT, self._give_up, self._dials)

    def _shake_hands(self, dial: int, live_runs: tuple[LiveRun, ...]) -> None:
        """The control plane takes part in it: it is not frozen."""
        self.after(self.chance.expovariate(1 / self._world.faults.delay), self._connect, dial, live_runs)

    def _give_up(self, dial: int) -> None:
        if dial == self._dials:
            self._dials += 1
            self._unanswered()

    def _connect(self, dial: int, live_runs: tuple[LiveRun, ...]) -> None:
        if dial != self._dials:
            return
        self._dials += 1
        self.link = connection = self._world.connect(self)
        self._opened = False
        if self._is_cut_off:
            # Somebody between the two took it.
            self._world.count("stream into the void")
            connection.hold(self.cut_off_until, up=True, down=True)
        self._streams += 1
        hello = Hello(self.info, frozenset(FEATURES), self.slots, "", self.process, live_runs, self._streams)
        self._world.note(self.name, "dials with", live_runs)
        connection.up.send(hello, self.agenda.time)
        self.after(_GREETING, self._open, connection)

    def _open(self, connection: Connection) -> None:
        if connection is self.link and not self._opened:
            self._opened = True
            self._writing = False
            self._feed(LinkOpened())

    def _unanswered(self) -> None:
        self._feed(LinkLost(Unavailable("Nobody answers.")))

    def _lost(self, error: TaskRunError) -> None:
        if not self._opened:
            link, self.link = self.link, None
            assert link is not None
            link.up.send(END)
        self._feed(LinkLost(error, final=isinstance(error, PermissionDenied)))

    def _hang_up(self, effect: HangUp) -> None:
        link, self.link = self.link, None
        self._world.note(self.name, "hangs up", effect.error)
        assert link is not None
        link.up.send(END)

    # Its agents.

    def ended(self, agent: Agent, report: RunReport) -> None:
        """An agent is gone."""
        del self.agents[agent.run.run_id]
        self._world.note(self.name, "has an agent that ended", report)
        self._world.oracle.gone(agent)
        self._last = agent
        self._feed(AgentEnded(report))

    def _start_agent(self, effect: StartAgent) -> None:
        self._world.note(self.name, "starts", effect.run)
        before = self._last if self._last and self._last.run.run_id == effect.run.run_id else None
        self.agents[effect.run.run_id] = agent = Agent(self, effect, before)
        self._world.oracle.began(agent)

    def _stop_agent(self, effect: StopAgent) -> None:
        self._world.note(self.name, "stops", effect.run_id)
        self.agents[effect.run_id].stop(self._world.daemon_timers.stop_grace)
