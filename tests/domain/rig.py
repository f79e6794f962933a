"""A daemon's core whose engine and control plane are the test."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.domain.daemon.effects import Dial, Effect, StartAgent
from taskrun.domain.daemon.news import (
    AgentEnded,
    ControlPlaneSpoke,
    DaemonBegan,
    LinkLost,
    LinkOpened,
    News,
    TimePassed,
)
from taskrun.domain.daemon.session import DaemonCore
from taskrun.domain.errors import Unavailable
from taskrun.domain.now import Now
from taskrun.domain.protocol import (
    FEATURES,
    AssignRun,
    FromWorker,
    Heartbeat,
    HeartbeatAck,
    HelloAck,
    RunDirective,
    RunReport,
    ToWorker,
)
from taskrun.domain.status import RunStatus, WorkerStatus
from taskrun.domain.timers import DaemonTimers

BROKEN = LinkLost(Unavailable("broken"))

#: From the last heartbeat that was heard until the runs are stopped.
PATIENCE = 105.0


class Rig:
    """A core with a clock that is moved by hand. A reconnect takes half of the longest delay."""

    def __init__(self, slots: int = 2, up: bool = True, places: int = 1) -> None:
        self.slots = slots
        self.last_ms = 0
        self.core = DaemonCore({"echo"}, slots, DaemonTimers(), lambda: 0.5, places)
        self.mono = 0.0
        if up:
            [dial] = self.feed(DaemonBegan())
            assert isinstance(dial, Dial)
            assert dial.live_runs == ()
            self.open()

    def feed(self, news: News) -> list[Effect]:
        return self.core.handle(news, Now(self.mono, round(self.mono * 1000)))

    def open(self) -> None:
        assert self.feed(LinkOpened()) == []
        assert self.sent() == [self.beat(WorkerStatus.IDLE, 0)]

    def beat(self, status: WorkerStatus, runs: int) -> Heartbeat:
        """The heartbeat that was sent last, if it says this."""
        return Heartbeat(status, runs, self.slots, self.last_ms)

    def ack(self) -> list[Effect]:
        """The heartbeat that was sent last is acked."""
        return self.hear(HeartbeatAck(self.last_ms))

    def hear(self, *messages: ToWorker) -> list[Effect]:
        return self.feed(ControlPlaneSpoke(messages))

    def assign(self, run_id: str, timeout_ms: int = 0) -> StartAgent:
        (start,) = self.hear(AssignRun(run_id, f"task-{run_id}", "echo", "1", timeout_ms=timeout_ms))
        assert isinstance(start, StartAgent)
        return start

    def end(self, run_id: str, status: RunStatus = RunStatus.COMPLETED) -> list[Effect]:
        return self.feed(AgentEnded(RunReport(run_id, status)))

    def wait(self, seconds: float) -> list[Effect]:
        """Time passes, and each deadline is kept."""
        end, effects = self.mono + seconds, list[Effect]()
        while (at := self.core.next_deadline()) is not None and at <= end:
            self.mono = at
            effects += self.feed(TimePassed())
        self.mono = end
        return effects

    def sent(self) -> Sequence[FromWorker]:
        messages = self.core.outbox.take()
        for message in messages:
            if isinstance(message, Heartbeat):
                self.last_ms = message.timestamp_ms
        return messages


class Resuming(Rig):
    """With a control plane that lets runs outlive a stream, and has heard the first heartbeat."""

    def __init__(self, slots: int = 2, places: int = 1) -> None:
        super().__init__(slots, places=places)
        assert self.welcome() == []
        self.transport()
        assert self.ack() == []

    def welcome(self, *directives: RunDirective) -> list[Effect]:
        return self.hear(HelloAck("w", frozenset(FEATURES), directives))

    def transport(self) -> Sequence[FromWorker]:
        """Everything is sent, in one message of the transport."""
        messages = self.sent()
        self.core.outbox.sent(1)
        return messages

    def come_back(self, *directives: RunDirective) -> list[Effect]:
        """From a broken link to the welcome on the next."""
        self.wait(2.5)
        self.feed(LinkOpened())
        return self.welcome(*directives)
