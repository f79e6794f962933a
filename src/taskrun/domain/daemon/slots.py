"""The runs of a worker: taken in or refused, stopped, and reported when their agents are gone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from taskrun.domain.daemon.effects import StartAgent, StopAgent
from taskrun.domain.daemon.news import AgentEnded
from taskrun.domain.daemon.outbox import Outbox
from taskrun.domain.daemon.slot import RunSlot, SlotEvent, SlotState
from taskrun.domain.daemon.step import Step
from taskrun.domain.daemon.talk import Talk
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.protocol import AssignRun, CancelRun, ContinueRun, RunDirective, RunReport
from taskrun.domain.status import FailureKind, RunStatus, Verdict

#: Runs that are remembered after their end, so that a repeated assignment does not start them once more.
_REMEMBERED = 1024
_GAP = "what the control plane asks for again is not here any more"


class RunSlots:
    """At most `limit` runs at a time; the worker itself sees to that, whatever it is told."""

    def __init__(
        self, agents: Collection[str], limit: int, outbox: Outbox, deadlines: Deadlines[str], stop_grace: float
    ) -> None:
        """An agent that is stopped is gone within about `stop_grace` seconds."""
        self._agents, self.limit, self._outbox, self._deadlines = agents, limit, outbox, deadlines
        self._stop_grace = stop_grace
        self._slots: dict[str, RunSlot] = {}
        self._over: OrderedDict[str, None] = OrderedDict()
        self.draining = False

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def let_go(self) -> bool:
        """Whether agents still end that nobody waits for: they take slots of which the control plane knows nothing."""
        return any(slot.state is SlotState.ABANDONED for slot in self._slots.values())

    def assign(self, step: Step, run: AssignRun) -> None:
        """Starts the run or reports at once why not. A run that was assigned before is already being taken care of."""
        run_id = run.run_id
        if run_id in self._slots or run_id in self._outbox or (run_id in self._over and not self._outbox.keeps):
            return
        refusal = self._refusal(run)
        lane = self._outbox.lane(run_id)
        if refusal is not None:
            lane.add(refusal)
            lane.close()
            return
        self._slots[run_id] = RunSlot(lane, Talk(run))
        if run.timeout_ms:
            self._deadlines.arm(run_id, step.now.mono + run.timeout_ms / 1000)
        lane.add(RunReport(run_id, RunStatus.RUNNING))
        step.effects.append(StartAgent(run, lane))

    def cancel(self, step: Step, order: CancelRun) -> None:
        """Stops the run if it is here, and says so, however often it is told: a control plane that began anew has to
        hear it too."""
        self._stop(step, order.run_id, SlotEvent.CANCELLED, order.reason or "the run was cancelled")
        slot = self._slots.get(order.run_id)
        # One of old would take it for a second beginning.
        if slot is not None and self._outbox.keeps:
            slot.tell_stopping(step.now.mono)

    def follow_up(self, step: Step, order: ContinueRun) -> None:
        """The agent hears it when its turn is over. Of a run that is not here the control plane hears the end."""
        slot = self._slots.get(order.run_id)
        if slot is not None:
            slot.hear(order)

    def direct(self, step: Step, order: RunDirective) -> None:
        """What becomes of a run of an earlier stream."""
        run_id = order.run_id
        if order.verdict is not Verdict.GO_ON:
            self._let_go(step, run_id, "the control plane wants the run no more")
        elif not self._outbox.go_on(run_id, order.from_seq):
            # It has lost what it said was stored. All that can be done is to tell, so that nobody waits for this run.
            self._let_go(step, run_id, _GAP)
            lane = self._outbox.begin_again(run_id, order.from_seq)
            lane.add(RunReport(run_id, RunStatus.FAILED, _GAP, FailureKind.WORKER_LOST))
            lane.close()

    def let_all_go(self, step: Step, run_ids: Iterable[str], why: str) -> None:
        """Nobody wants to hear of these runs any more."""
        for run_id in tuple(run_ids):
            self._let_go(step, run_id, why)

    def time_out(self, step: Step, run_id: str) -> None:
        """The run's time is over."""
        self._stop(step, run_id, SlotEvent.TIMED_OUT, "the run took longer than its task allows")

    def stop_all(self, step: Step, event: SlotEvent, why: str) -> None:
        """Stops every run."""
        for run_id in self._slots:
            self._stop(step, run_id, event, why)

    def ended(self, step: Step, news: AgentEnded) -> None:
        """The agent is gone: it is asked what came meanwhile, or its slot is free and its end is reported, after
        everything it said."""
        run_id = news.report.run_id
        slot = self._slots[run_id]
        turn = slot.next_turn(news.report, news.said)
        if turn is not None:
            step.effects.append(StartAgent(turn, slot.lane, slot.talk.consumed))
            return
        del self._slots[run_id]
        slot.end(news.report)
        self._deadlines.disarm(run_id)
        self._over[run_id] = None
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)

    def _refusal(self, run: AssignRun) -> RunReport | None:
        if self.draining:
            failure, why = FailureKind.REJECTED, "The worker is draining and takes no more runs."
        elif run.run_id in self._over:
            # It was let go, and nothing that was said of it is left: to be silent now would keep its task waiting.
            failure, why = FailureKind.WORKER_LOST, "The worker has given this run up."
        elif run.agent not in self._agents:
            failure, why = FailureKind.AGENT_UNAVAILABLE, f"The worker does not offer the agent {run.agent!r}."
        elif len(self._slots) >= self.limit:
            failure, why = FailureKind.REJECTED, f"All {self.limit} slots of the worker are taken."
        else:
            return None
        return RunReport(run.run_id, RunStatus.FAILED, why, failure)

    def _let_go(self, step: Step, run_id: str, why: str) -> None:
        self._outbox.forget(run_id)
        self._stop(step, run_id, SlotEvent.LET_GO, why)

    def _stop(self, step: Step, run_id: str, event: SlotEvent, why: str) -> None:
        slot = self._slots.get(run_id)
        if slot is not None and slot.stop(event, why):
            slot.gone_by = step.now.mono + self._stop_grace
            step.effects.append(StopAgent(run_id))
