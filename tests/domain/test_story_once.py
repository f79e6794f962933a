"""Real workers and a real control plane over links that lose things: every story is whole, and told once.

A daemon's core with its outbox and the control plane's core are joined by a link that breaks at any point; either side
dies at any point between two turns, or in the middle of one. The promise that no task is executed in two places is
checked after each step, that of the whole story at the end, when the faults have stopped.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from taskrun.domain.status import FailureKind
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.invariants import check_said, check_story
from taskrun.testing.simulated_worker import SimulatedWorker, Village
from taskrun.testing.simulation import Simulation

TIMERS = ControlPlaneTimers()
WORKERS = st.integers(0, 1)
#: Which of the known ones; it wraps around.
PICK = st.integers(0, 3)


class LossyHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation(TIMERS)
        self.village = Village(self.sim, SimulatedWorker(self.sim, "w0"), SimulatedWorker(self.sim, "w1", slots=1))
        self.village.carry()

    def worker(self, index: int) -> SimulatedWorker:
        return self.village.workers[index]

    # What goes well.

    @rule()
    def create(self) -> None:
        if len(self.sim.store.tasks) < 6:
            self.sim.create(max_attempts=100, retry_on=frozenset({FailureKind.AGENT_ERROR}))

    @rule()
    def carry(self) -> None:
        self.village.carry()

    @rule(index=WORKERS, pick=PICK, what=st.sampled_from(["speak", "speak", "report", "end", "fail"]))
    def act(self, index: int, pick: int, what: str) -> None:
        worker = self.worker(index)
        if not worker.agents:
            return
        run_id = sorted(worker.agents)[pick % len(worker.agents)]
        match what:
            case "speak":
                worker.speak(run_id)
            case "report":
                worker.report(run_id)
            case "end":
                worker.end(run_id)
            case "fail":
                worker.end(run_id, FailureKind.AGENT_ERROR)

    @rule(index=WORKERS, frame_size=st.integers(1, 3))
    def take(self, index: int, frame_size: int) -> None:
        self.worker(index).take(frame_size)

    @rule(index=WORKERS)
    def taken(self, index: int) -> None:
        self.worker(index).taken()

    @rule(index=WORKERS)
    def deliver(self, index: int) -> None:
        self.worker(index).deliver()

    @rule(index=WORKERS, count=st.integers(1, 2))
    def hear(self, index: int, count: int) -> None:
        self.worker(index).hear(count)

    @precondition(lambda self: any(worker.dialling is not None for worker in self.village.workers))
    @rule(how=st.sampled_from(["connect", "connect", "fail", "into the void"]))
    def dial(self, how: str) -> None:
        worker = next(worker for worker in self.village.workers if worker.dialling is not None)
        match how:
            case "connect":
                worker.connect()
            case "fail":
                worker.fail_to_connect()
            case "into the void":
                worker.connect_to_nobody()

    @rule(seconds=st.sampled_from([1.0, 3.0, 16.0, 46.0, 80.0, 121.0]))
    def wait(self, seconds: float) -> None:
        self.village.wait(seconds)

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        tasks = sorted(task.id for task in self.sim.store.tasks.values() if not task.status.is_terminal)
        if tasks and pick == 0:
            self.sim.cancel(tasks[0])

    # What goes wrong.

    @rule(index=WORKERS)
    def cut(self, index: int) -> None:
        self.worker(index).cut()

    @rule(index=WORKERS, side=st.sampled_from(["worker", "control plane"]))
    def notice(self, index: int, side: str) -> None:
        if side == "worker":
            self.worker(index).notice()
        else:
            self.worker(index).be_missed()

    @rule(torn=st.booleans())
    def restart(self, torn: bool) -> None:
        self.village.restart(torn=torn)

    @rule(index=WORKERS)
    def drain(self, index: int) -> None:
        if self.sim.mono > 1_100.0:
            self.worker(index).drain()

    @rule(index=WORKERS)
    def kill(self, index: int) -> None:
        self.worker(index).begin()

    # What holds.

    @invariant()
    def no_task_runs_twice_and_nobody_has_too_much(self) -> None:
        self.village.check()

    @invariant()
    def stories_are_whole(self) -> None:
        said = {run_id: words for worker in self.village.workers for run_id, words in worker.said.items()}
        for task in self.sim.store.tasks.values():
            check_story(task, self.sim.story(task.id))
            check_said(task, self.sim.story(task.id), said)

    def teardown(self) -> None:
        """The faults stop: everything ends, nobody keeps anything, and the workers can leave."""
        for _ in range(60):
            for worker in self.village.workers:
                if worker.finished:
                    worker.begin()
                for run_id in sorted(worker.agents.keys() - worker.gone_at.keys()):
                    worker.end(run_id)
            self.village.carry()
            if self.village.is_quiet:
                break
            self.village.wait(5)
        assert self.village.is_quiet
        self.stories_are_whole()
        self.leave()

    def leave(self) -> None:
        for worker in self.village.workers:
            worker.drain()
        for _ in range(40):
            self.village.carry()
            self.village.wait(1)
        assert all(worker.finished for worker in self.village.workers)


LossyHistory.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestLossyHistory = LossyHistory.TestCase
