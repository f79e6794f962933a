"""The worker daemon's core: news in, effects out. It awaits nothing, reads no clock and rolls no dice of its own.

Runs outlive the link they came over: they go on while it is away, what they say is kept, and on the next link the
control plane says for each where to go on. After a time without a link it gives them to others; before that the daemon
stops them itself. A control plane of old knows nothing of this and gives them to others at once: then they are stopped
at once, and only when all their agents are gone does the daemon come back.

There may be several control planes. Where one fails, the next is tried at once; only a round in which each has failed
is followed by a rest. Whatever is tried, the patience with a link that is away is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Any

from taskrun.domain.daemon.backoff import Backoff
from taskrun.domain.daemon.effects import Dial, Effect, Finish, HangUp
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
from taskrun.domain.daemon.outbox import Outbox
from taskrun.domain.daemon.pulse import Pulse
from taskrun.domain.daemon.slot import SlotEvent
from taskrun.domain.daemon.slots import RunSlots
from taskrun.domain.daemon.step import Step
from taskrun.domain.daemon.uplink import UPLINK, UplinkEvent, UplinkState
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.errors import TaskRunError, Unavailable
from taskrun.domain.now import Now
from taskrun.domain.protocol import (
    RESUME,
    AssignRun,
    CancelRun,
    ContinueRun,
    Heartbeat,
    HeartbeatAck,
    HelloAck,
    RunDirective,
    Stored,
)
from taskrun.domain.rota import Rota
from taskrun.domain.status import WorkerStatus
from taskrun.domain.timers import DaemonTimers

#: Seconds that a drained daemon waits to hear, or at least to have sent, that its last reports are through.
FAREWELL = 5.0


class Timer(Enum):
    """What the daemon waits for, beside the time limits of its runs."""

    HEARTBEAT = "heartbeat"
    RECONNECT = "reconnect"
    DRAIN = "drain"
    FAREWELL = "farewell"
    #: The control plane is about to give the runs to others.
    RESUME = "resume"


class DaemonCore:
    """Decides everything; one at a time. What it wants to say is in `outbox`, for whoever has the link to take."""

    def __init__(
        self,
        agents: Collection[str],
        max_concurrent_runs: int,
        timers: DaemonTimers,
        chance: Callable[[], float],
        places: int = 1,
    ) -> None:
        """`places` is how many control planes there are to dial. `chance` gives numbers from 0 to 1."""
        self.outbox = Outbox()
        self._timers = timers
        self._state = UplinkState.NEW
        self._timer_deadlines: Deadlines[Timer] = Deadlines()
        self._run_deadlines: Deadlines[str] = Deadlines()
        self._slots = RunSlots(agents, max_concurrent_runs, self.outbox, self._run_deadlines, timers.stop_grace)
        self._dialled_at = 0.0
        self._pulse = Pulse()
        #: The control plane has yet to say what becomes of the runs of the last link.
        self._undirected = False
        self._rota = Rota(range(places), chance)
        #: The control plane that was dialled last.
        self._place = 0
        self._backoff = Backoff(timers.reconnect, timers.reconnect_max, chance)
        #: The delay before the next attempt to connect is over.
        self._rested = True
        #: It was told to stop its runs: without a link there is nothing to wait for.
        self._hurried = False
        #: Why the control plane wants this worker no more.
        self._refusal: TaskRunError | None = None
        # Typed by their keys; the dispatch is one look-up for each piece of news and each message.
        self._handlers: dict[type, Callable[[Step, Any], None]] = {
            DaemonBegan: self._began,
            LinkOpened: self._opened,
            LinkLost: self._lost,
            ControlPlaneSpoke: self._spoke,
            OutboxSent: self._sent,
            AgentEnded: self._agent_ended,
            DrainAsked: self._drain,
            StopAsked: self._stop,
            CertificateRenewed: self._renewed,
            TimePassed: self._expire,
        }
        self._messages: dict[type, Callable[[Step, Any], None]] = {
            AssignRun: self._slots.assign,
            CancelRun: self._slots.cancel,
            ContinueRun: self._slots.follow_up,
            HeartbeatAck: self._acked,
            HelloAck: self._welcomed,
            Stored: self._stored,
            RunDirective: self._slots.direct,
        }
        self._timeouts: dict[Timer, Callable[[Step], None]] = {
            Timer.HEARTBEAT: self._heartbeat_due,
            Timer.RECONNECT: self._reconnect_due,
            Timer.DRAIN: self._drain_over,
            Timer.FAREWELL: self._farewell_over,
            Timer.RESUME: self._let_go,
        }

    @property
    def connected(self) -> bool:
        """Whether a link is open."""
        return self._state in (UplinkState.UP, UplinkState.LEAVING)

    @property
    def dialling(self) -> bool:
        """Whether a link is being opened."""
        return self._state is UplinkState.DIALLING

    @property
    def leaving(self) -> bool:
        """Whether the daemon only waits for its last word to be through; then `OutboxSent` is of interest."""
        return self._state is UplinkState.LEAVING

    def handle(self, item: News, now: Now) -> list[Effect]:
        """Takes in what happened and says what is to be done, in this order. A daemon that is over does nothing."""
        step = Step(now)
        if self._state is not UplinkState.OVER:
            self._handlers[type(item)](step, item)
        return step.effects

    def next_deadline(self) -> float | None:
        """When `TimePassed` is wanted, on the monotonic clock."""
        if self._state is UplinkState.OVER:
            return None
        timer, run = self._timer_deadlines.next(), self._run_deadlines.next()
        if timer is None or run is None:
            return run if timer is None else timer
        return min(timer, run)

    # The link.

    def _began(self, step: Step, news: DaemonBegan) -> None:
        self._settle(step)

    def _opened(self, step: Step, news: LinkOpened) -> None:
        self._state = UPLINK.after(self._state, UplinkEvent.OPENED)
        if self._slots.let_go:
            # It named runs that were given up meanwhile: it comes back without them, when their agents are gone.
            self._lost(step, LinkLost(Unavailable("Runs were given up while the stream was being opened.")))
            return
        self._pulse = Pulse(self._dialled_at, self._pulse.heard_from_at)
        self._undirected = True
        self._beat(step)
        self._timer_deadlines.arm(Timer.HEARTBEAT, step.now.mono + self._timers.heartbeat)

    def _lost(self, step: Step, news: LinkLost) -> None:
        if self.connected:
            step.effects.append(HangUp(news.error))
        if news.final:
            self._refusal = news.error
        self._leave_link()
        if news.final or news.refused or not self.outbox.keeps:
            self._slots.let_all_go(step, self.outbox.held(), "the link to the control plane was lost")
        self._rested = self._rota.left > 0
        if not self._rested:
            self._timer_deadlines.arm(Timer.RECONNECT, step.now.mono + self._backoff.next())
        self._settle(step)

    def _leave_link(self) -> None:
        """What was said on it, and is not stored, waits for the next one."""
        self._state = UPLINK.after(self._state, UplinkEvent.LOST)
        self._timer_deadlines.disarm(Timer.HEARTBEAT)
        self._timer_deadlines.disarm(Timer.FAREWELL)
        self.outbox.hold()

    def _be_patient(self) -> None:
        """Up to a time by which the control plane has certainly not given up this worker: it heard of it later."""
        patience = self._timers.heartbeat + self._timers.resume
        self._timer_deadlines.arm(Timer.RESUME, self._pulse.heard_from_at + patience)

    def _let_go(self, step: Step) -> None:
        """The control plane gives the runs to others now, also if the link seems to be open."""
        runs = [run.run_id for run in self.outbox.live_runs()]
        self._slots.let_all_go(step, runs, "the control plane was out of reach for too long")
        if self.connected:
            self._lost(step, _silent())
        else:
            self._settle(step)

    def _reconnect_due(self, step: Step) -> None:
        self._rested = True
        self._settle(step)

    def _settle(self, step: Step) -> None:
        """Moves on as far as the runs allow: dials, says goodbye, or ends."""
        done = self._slots.draining or self._refusal is not None
        if self._state is UplinkState.UP:
            if done and not self._slots:
                self._leave(step)
        elif self._state is not UplinkState.LEAVING:
            if done and not self._slots and (self._hurried or self.outbox.settled):
                self._finish(step)
            elif self._state is not UplinkState.DIALLING and self._rested and not self._slots.let_go:
                self._dial(step)

    def _dial(self, step: Step, place: int | None = None) -> None:
        """The given control plane, or the one whose turn it is."""
        self._state = UPLINK.after(self._state, UplinkEvent.DIAL)
        self._dialled_at = step.now.mono
        self._rested = False
        self._place = self._rota.next() if place is None else place
        step.effects.append(Dial(self.outbox.live_runs(), self._place))

    def _renewed(self, step: Step, news: CertificateRenewed) -> None:
        """The link goes on as another, under the new certificate, before the old one's end cuts it. Runs that would not
        outlive it are left alone, and so is a link on which nothing is settled yet: it is made anew when it is cut."""
        if self._state is UplinkState.UP and self.outbox.keeps and not self._undirected:
            step.effects.append(HangUp(Unavailable("The certificate was renewed."), planned=True))
            self._leave_link()
            self._dial(step, self._place)

    def _leave(self, step: Step) -> None:
        """Drained. The last heartbeat follows the last report, so its ack says that all of them arrived."""
        self._state = UPLINK.after(self._state, UplinkEvent.DRAINED)
        self._beat(step)
        self._timer_deadlines.disarm(Timer.HEARTBEAT)
        self._timer_deadlines.arm(Timer.FAREWELL, step.now.mono + FAREWELL)

    def _farewell_over(self, step: Step) -> None:
        """A control plane that keeps what it is told may take its time to do so."""
        if self.outbox.settled or not self.outbox.keeps:
            self._finish(step)
        elif self._pulse.is_silent:
            self._lost(step, _silent())
        else:
            self._beat(step)
            self._timer_deadlines.arm(Timer.FAREWELL, step.now.mono + FAREWELL)

    def _finish(self, step: Step) -> None:
        self._state = UPLINK.after(self._state, UplinkEvent.FINISHED)
        step.effects.append(Finish(self._refusal))

    def _beat(self, step: Step) -> None:
        runs = len(self._slots)
        working = WorkerStatus.BUSY if runs else WorkerStatus.IDLE
        status = WorkerStatus.DRAINING if self._slots.draining else working
        self.outbox.beat(Heartbeat(status, runs, self._slots.limit, self._pulse.beat(step.now)))

    def _heartbeat_due(self, step: Step) -> None:
        if self._pulse.is_silent:
            self._lost(step, _silent())
            return
        if self._undirected and not self.outbox.held():
            # Nothing came within a heartbeat: this control plane is an old one (WIRE.md). Where runs are at stake it
            # may be one that has no time to answer; they wait as long as they may.
            self._directed(step, keeps=False)
        self._backoff.reset()
        # Only now: of two that welcome a worker and drop it at once, each would send it to the other for ever.
        self._rota.held()
        self._beat(step)
        self._timer_deadlines.arm(Timer.HEARTBEAT, step.now.mono + self._timers.heartbeat)

    # What comes over it.

    def _spoke(self, step: Step, news: ControlPlaneSpoke) -> None:
        self._backoff.reset()
        self._pulse.heard()
        if self._undirected and not isinstance(next(iter(news.messages), None), HelloAck):
            # One that answers a hello says so before all else.
            self._directed(step, keeps=False)
        for message in news.messages:
            # Who was frozen finds first that its time is over: then these are orders of long ago.
            self._expire(step, TimePassed())
            if not self.connected:
                return
            self._messages[type(message)](step, message)

    def _welcomed(self, step: Step, ack: HelloAck) -> None:
        self._pulse.welcomed()
        self._directed(step, RESUME in ack.features, ack.directives)

    def _directed(self, step: Step, keeps: bool, directives: Sequence[RunDirective] = ()) -> None:
        """Now it is known what becomes of the runs of earlier links, and whether this link's outlive it."""
        self._undirected = False
        self.outbox.keep(keeps)
        if keeps:
            self._be_patient()
        else:
            self._timer_deadlines.disarm(Timer.RESUME)
        for directive in directives:
            self._slots.direct(step, directive)
        self._slots.let_all_go(step, self.outbox.held(), "the control plane says nothing of the run")
        self._settle(step)

    def _acked(self, step: Step, ack: HeartbeatAck) -> None:
        self._pulse.acked(ack)
        if self.outbox.keeps and not self.leaving:
            self._be_patient()
        self._say_goodbye(step)

    def _stored(self, step: Step, ack: Stored) -> None:
        self.outbox.stored(ack.messages)
        self._say_goodbye(step)

    def _say_goodbye(self, step: Step) -> None:
        if self.leaving and self._pulse.is_answered and self.outbox.settled:
            self._finish(step)

    def _sent(self, step: Step, news: OutboxSent) -> None:
        """A control plane that never acks has what it was sent, as far as anybody can know."""
        if self.leaving and not self._pulse.is_acked and self.outbox.settled:
            self._finish(step)

    # The runs.

    def _agent_ended(self, step: Step, news: AgentEnded) -> None:
        self._slots.ended(step, news)
        self._settle(step)

    def _drain(self, step: Step, news: DrainAsked) -> None:
        if self._slots.draining:
            return
        self._slots.draining = True
        self._timer_deadlines.arm(Timer.DRAIN, step.now.mono + self._timers.drain)
        if self._state is UplinkState.UP:
            self._beat(step)
        self._settle(step)

    def _drain_over(self, step: Step) -> None:
        self._slots.stop_all(step, SlotEvent.CANCELLED, "the worker shuts down and could not wait for the run's end")

    def _stop(self, step: Step, news: StopAsked) -> None:
        """What its agents still say is heard if there is a link; without one nobody waits for it."""
        self._hurried = True
        self._slots.stop_all(step, SlotEvent.CANCELLED, "the worker was told to stop its runs")
        self._settle(step)

    # Time.

    def _expire(self, step: Step, news: TimePassed) -> None:
        mono = step.now.mono
        while (run_id := self._run_deadlines.pop(mono)) is not None:
            self._slots.time_out(step, run_id)
        # The first of several that are due may be the end.
        while self._state is not UplinkState.OVER and (timer := self._timer_deadlines.pop(mono)) is not None:
            self._timeouts[timer](step)


def _silent() -> LinkLost:
    return LinkLost(Unavailable("The control plane has stopped answering heartbeats."))
