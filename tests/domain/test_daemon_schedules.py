"""Random schedules: whatever happens in whatever order, the daemon's core keeps its promises."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from taskrun.domain.daemon.effects import Dial, Effect, Finish, HangUp, StartAgent, StopAgent
from taskrun.domain.daemon.lane import Lane
from taskrun.domain.daemon.news import (
    AgentEnded,
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
from taskrun.domain.errors import Unavailable
from taskrun.domain.now import Now
from taskrun.domain.protocol import AssignRun, CancelRun, Heartbeat, HeartbeatAck, RunReport, ToWorker
from taskrun.domain.status import FailureKind, RunStatus
from taskrun.domain.timers import DaemonTimers

SLOTS = 3
RUN_IDS = st.integers(0, 9).map(str)


class Schedules(RuleBasedStateMachine):
    """Plays the engine and the control plane."""

    places = 1

    def __init__(self) -> None:
        super().__init__()
        self.core = DaemonCore({"echo"}, SLOTS, DaemonTimers(), lambda: 0.5, self.places)
        self.mono = 0.0
        self.dialling = self.up = self.finished = False
        self.agents: dict[str, Lane] = {}
        self.started: Counter[str] = Counter()
        self.stopped: Counter[str] = Counter()
        #: Runs that were started over the present link and whose end has not been reported.
        self.owed: set[str] = set()
        self.last_ms = 0
        self.feed(DaemonBegan())

    def feed(self, news: News) -> None:
        for effect in self.core.handle(news, Now(self.mono, round(self.mono * 1000))):
            self.apply(effect)

    def apply(self, effect: Effect) -> None:
        assert not self.finished
        match effect:
            case Dial():
                assert effect.place < self.places
                assert not any((self.dialling, self.up, self.agents))
                self.dialling = True
            case HangUp():
                assert self.up
                self.up = False
                self.owed.clear()
            case StartAgent():
                run_id = effect.run.run_id
                self.started[run_id] += 1
                self.agents[run_id] = effect.lane
                self.owed.add(run_id)
            case StopAgent():
                assert effect.run_id in self.agents
                self.stopped[effect.run_id] += 1
            case Finish():
                assert not self.agents
                self.finished = True

    def hear(self, *messages: ToWorker) -> None:
        self.feed(ControlPlaneSpoke(messages))

    @precondition(lambda self: self.dialling)
    @rule(succeeds=st.booleans())
    def connect(self, succeeds: bool) -> None:
        self.dialling = False
        if succeeds:
            self.up = not self.finished
            self.feed(LinkOpened())
        else:
            self.feed(LinkLost(Unavailable("down")))

    @precondition(lambda self: self.up)
    @rule(run_id=RUN_IDS, timeout_ms=st.sampled_from([0, 500]))
    def assign(self, run_id: str, timeout_ms: int) -> None:
        self.hear(AssignRun(run_id, "t", "echo", "1", timeout_ms=timeout_ms))

    @precondition(lambda self: self.up)
    @rule(run_id=RUN_IDS)
    def cancel(self, run_id: str) -> None:
        self.hear(CancelRun(run_id, ""))

    @precondition(lambda self: self.up)
    @rule()
    def ack(self) -> None:
        self.hear(HeartbeatAck(self.last_ms))

    @precondition(lambda self: self.up)
    @rule()
    def break_link(self) -> None:
        self.feed(LinkLost(Unavailable("broken")))

    @precondition(lambda self: self.up)
    @rule()
    def send(self) -> None:
        for message in self.core.outbox.take():
            if isinstance(message, Heartbeat):
                assert message.active_runs <= SLOTS
                self.last_ms = message.timestamp_ms
            elif isinstance(message, RunReport) and message.status.is_terminal and message.run_id in self.started:
                self.report_end(message)
        self.feed(OutboxSent())

    def report_end(self, report: RunReport) -> None:
        """The one end of a run that was started: its agent is gone."""
        if report.failure is not FailureKind.REJECTED:
            assert report.run_id not in self.agents
            self.owed.remove(report.run_id)

    @precondition(lambda self: self.agents)
    @rule(data=st.data(), status=st.sampled_from([RunStatus.COMPLETED, RunStatus.FAILED]))
    def end_agent(self, data: st.DataObject, status: RunStatus) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.agents)))
        lane = self.agents.pop(run_id)
        self.feed(AgentEnded(RunReport(run_id, status)))
        assert lane.closed

    @rule(seconds=st.sampled_from([0.1, 1.0, 16.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.mono += seconds
        self.feed(TimePassed())
        due = self.core.next_deadline()
        assert due is None or due > self.mono

    @rule()
    def stop(self) -> None:
        self.feed(StopAsked())

    @precondition(lambda self: self.mono > 20)
    @rule()
    def drain(self) -> None:
        self.feed(DrainAsked())

    @invariant()
    def never_more_agents_than_slots(self) -> None:
        assert len(self.agents) <= SLOTS

    @invariant()
    def every_run_starts_once_and_is_stopped_at_most_once(self) -> None:
        assert all(times == 1 for times in self.started.values())
        assert all(times == 1 for times in self.stopped.values())

    @invariant()
    def without_a_link_nothing_waits_to_be_said(self) -> None:
        assert self.up or self.finished or not self.core.outbox

    def teardown(self) -> None:
        """Whatever happened before: a drained daemon, once its agents are gone, has said all it owes, and ends."""
        self.feed(DrainAsked())
        for run_id in list(self.agents):
            del self.agents[run_id]
            self.feed(AgentEnded(RunReport(run_id, RunStatus.COMPLETED)))
        if self.up:
            self.send()
            assert not self.owed
            self.ack()
        assert self.finished


class SchedulesOfThree(Schedules):
    """The same with three control planes: then the next attempt may come at once."""

    places = 3


SETTINGS = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSchedules = Schedules.TestCase
TestSchedules.settings = SETTINGS
TestSchedulesOfThree = SchedulesOfThree.TestCase
TestSchedulesOfThree.settings = SETTINGS
