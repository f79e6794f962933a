"""The worker daemon: runs agents for a control plane, over one link after the other.

The core decides; this turns its effects into calls, and what comes of them into news. A link has one reader and one
writer. The writer sends whatever gathered while its last write was under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from loguru import logger

from taskrun.domain.daemon.effects import Dial, Finish, HangUp, StartAgent, StopAgent
from taskrun.domain.daemon.news import (
    AgentEnded,
    CertificateRenewed,
    ControlPlaneSpoke,
    DaemonBegan,
    DrainAsked,
    LinkLost,
    LinkOpened,
    News,
    OutboxSent,
    StopAsked,
    TimePassed,
)
from taskrun.domain.daemon.session import DaemonCore
from taskrun.domain.errors import InvalidArgument, PermissionDenied, TaskRunError, Unauthenticated, Unavailable
from taskrun.domain.limits import checked_hello
from taskrun.domain.protocol import FEATURES, Hello, HelloAck
from taskrun.domain.records import WorkerInfo
from taskrun.domain.timers import DaemonTimers
from taskrun.engine.alarm import Alarm
from taskrun.engine.daemon_crew import Crew
from taskrun.engine.daemon_outcome import outcome
from taskrun.engine.daemon_room import Room
from taskrun.engine.daemon_sink import RunSink
from taskrun.ports.agents import Agent, AgentRequest, AgentResult, AgentSink
from taskrun.ports.clock import Clock
from taskrun.ports.link import Connector, Link

#: After these, coming again is no use.
_FINAL = (PermissionDenied, Unauthenticated)


class Daemon:
    """One worker, for one `run()`."""

    def __init__(
        self,
        connectors: Sequence[Connector],
        agents: Sequence[Agent],
        info: WorkerInfo,
        clock: Clock,
        timers: DaemonTimers,
        max_concurrent_runs: int,
        chance: Callable[[], float],
        process: str = "",
    ) -> None:
        """`info.agents` is filled in from `agents`. `chance` gives numbers from 0 to 1.

        `connectors` lead to control planes that share a store, one each, at least one: which of them the worker is
        with makes no difference to its runs.

        `process` is an id made up for this daemon alone: under it its runs outlive a link. With "" they end with it.
        Raises `InvalidArgument` if this is no worker that a control plane would let in.
        """
        self._connectors, self._clock, self._gone = connectors, clock, timers.gone
        announced = replace(info, agents=tuple(agent.spec for agent in agents))
        self._hello = checked_hello(Hello(announced, frozenset(FEATURES), max_concurrent_runs, process=process))
        self._streams = count(1)
        self._agents = {agent.spec.name: agent for agent in agents}
        self._core = DaemonCore(self._agents.keys(), self._hello.max_concurrent_runs, timers, chance, len(connectors))
        self._outbox = self._core.outbox
        self._room = Room(self._outbox)
        self._alarm = Alarm(clock, partial(self._feed, TimePassed()))
        self._crew = Crew()
        #: There is something to send.
        self._wake = asyncio.Event()
        #: What was to be sent is on its way.
        self._taken = asyncio.Event()
        self._over = asyncio.Event()
        self._error: BaseException | None = None
        self._link: Link | None = None
        #: The control planes' graces that were found too short. Ms.
        self._short_graces = set[int]()
        #: Why the attempts to connect have failed, since there was a link or a rest.
        self._failures: list[str] = []
        #: The link, and those that were left and are not closed yet.
        self._unclosed: list[Link] = []
        #: The link's reader and writer.
        self._sides: list[asyncio.Task[None]] = []
        self._running: dict[str, asyncio.Task[AgentResult]] = {}
        self._effects: dict[type, Callable[[Any], None]] = {
            Dial: self._dial,
            HangUp: self._hang_up,
            StartAgent: self._start_agent,
            StopAgent: self._stop_agent,
            Finish: self._finish,
        }

    # Life.

    @property
    def connected(self) -> bool:
        """Whether a link to the control plane is open."""
        return self._core.connected

    async def run(self) -> None:
        """Connects, and connects again, and runs what is assigned, until it has drained or is cancelled.

        When it returns no agent of it is left. Raises `PermissionDenied` or `Unauthenticated` if the control plane
        refuses this worker for good.
        """
        self._feed(DaemonBegan())
        try:
            await self._over.wait()
        finally:
            self._over.set()
            self._alarm.stop()
            await self._crew.dismiss()
            for link in self._unclosed:
                await link.close()
        if self._error is not None:
            raise self._error

    def drain(self) -> None:
        """Takes no more runs and ends once those it has are over and reported; doing it twice is harmless."""
        logger.info("draining: no new runs, {} to finish", len(self._running))
        self._feed(DrainAsked())

    def cancel_runs(self) -> None:
        """Stops every run now."""
        logger.info("stopping {} runs", len(self._running))
        self._feed(StopAsked())

    def renewed(self) -> None:
        """Links are opened with another certificate from now on: the one that is open is left for a new one."""
        self._feed(CertificateRenewed())

    def _feed(self, news: News) -> None:
        """One piece of news to the core, and everything that comes of it. A daemon that is over hears nothing."""
        if self._over.is_set():
            return
        try:
            for effect in self._core.handle(news, self._clock.now()):
                self._effects[type(effect)](effect)
        except Exception as error:
            self._end(error)
        self._alarm.set(self._core.next_deadline())
        self._room.open()
        if self._outbox:
            self._wake.set()

    def _finish(self, effect: Finish) -> None:
        self._end(effect.error)

    def _end(self, error: BaseException | None) -> None:
        """What nobody expected comes out of `run()`, like a refusal."""
        self._error = self._error or error
        self._over.set()

    # The link.

    def _dial(self, effect: Dial) -> None:
        hello = replace(self._hello, live_runs=effect.live_runs, stream=next(self._streams))
        self._crew.spawn(self._connect(self._connectors[effect.place], hello), self._check)

    async def _connect(self, connector: Connector, hello: Hello) -> None:
        try:
            self._link = link = await connector.connect(hello)
        except TaskRunError as error:
            self._failures.append(error.message)
            self._feed(_lost(error))
            if not self._core.dialling:
                self._tell_failures()
            return
        self._failures.clear()
        logger.info("connected", to=str(connector))
        self._unclosed.append(link)
        self._feed(LinkOpened())
        if self._link is not link:
            # The core wants it no more.
            return
        ended = partial(self._side_ended, link)
        self._sides = [self._crew.spawn(self._read(link), ended), self._crew.spawn(self._write(link), ended)]

    def _tell_failures(self) -> None:
        """One line for a round, however many control planes were tried in it."""
        logger.warning("cannot connect: {}", " ".join(self._failures))
        self._failures.clear()

    async def _read(self, link: Link) -> None:
        async for messages in link.incoming():
            while self._outbox.flooded:
                self._taken.clear()
                await self._taken.wait()
            if messages and isinstance(messages[0], HelloAck):
                self._compare(messages[0])
            self._feed(ControlPlaneSpoke(messages))
        raise Unavailable("The control plane ended the stream.")

    def _compare(self, ack: HelloAck) -> None:
        """Says, once of each, that runs may be given to others while they are executed here: settings do not fit."""
        if 0 < ack.grace_ms <= self._gone * 1000 and ack.grace_ms not in self._short_graces:
            self._short_graces.add(ack.grace_ms)
            logger.warning(
                "away, this worker has stopped its runs after {:g} s (--resume-timeout, --heartbeat and --stop-grace), "
                "but the control plane gives them to others after {:g} s (--worker-grace): they may be executed twice",
                self._gone,
                ack.grace_ms / 1000,
            )

    async def _write(self, link: Link) -> None:
        while True:
            await self._wake.wait()
            # An agent that ends at once is to end in the message that says it began.
            await asyncio.sleep(0)
            self._wake.clear()
            while self._outbox:
                messages = self._outbox.take()
                self._taken.set()
                self._room.open()
                self._outbox.sent(await link.send(messages))
            if self._core.leaving:
                self._feed(OutboxSent())

    def _side_ended(self, link: Link, task: asyncio.Task[None]) -> None:
        """The reader or the writer is done; either alone is of no use."""
        if link is not self._link:
            return
        error = Unavailable("The stream was cut.") if task.cancelled() else task.exception()
        if isinstance(error, TaskRunError):
            self._feed(_lost(error))
        else:
            self._end(error)

    def _hang_up(self, effect: HangUp) -> None:
        if not effect.planned:
            logger.warning("the link is lost: {}", effect.error.message)
        link, self._link = self._link, None
        for side in self._sides:
            side.cancel()
        self._room.open()
        assert link is not None
        self._crew.spawn(self._close(link), self._check)

    async def _close(self, link: Link) -> None:
        await link.close()
        self._unclosed.remove(link)

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._end(task.exception())

    # The agents.

    def _start_agent(self, effect: StartAgent) -> None:
        run = effect.run
        request = AgentRequest(
            run.run_id, run.task_id, run.input_json, run.labels, run.attempt, run.session_id, run.fork
        )
        sink = RunSink(self._outbox, effect.lane, self._room, self._wake.set, effect.consumed)
        self._running[run.run_id] = self._crew.spawn(
            _execute(self._agents[run.agent], request, sink), partial(self._agent_ended, request, sink)
        )

    def _stop_agent(self, effect: StopAgent) -> None:
        self._running[effect.run_id].cancel()

    def _agent_ended(self, request: AgentRequest, sink: RunSink, task: asyncio.Task[AgentResult]) -> None:
        del self._running[request.run_id]
        self._feed(AgentEnded(outcome(request, task, sink.usage), sink.said.text()))


async def _execute(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
    """The whole life of an agent, so that all it logs says which run it is about."""
    with logger.contextualize(task_id=request.task_id, run_id=request.run_id):
        return await agent.run(request, sink)


def _lost(error: TaskRunError) -> LinkLost:
    return LinkLost(error, final=isinstance(error, _FINAL), refused=isinstance(error, InvalidArgument))
