"""Runs that are told to stop: how long their workers may take, and what is said of the end that nobody confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from taskrun.domain.protocol import AssignRun, CancelRun, LiveRun, RunReport
from taskrun.domain.records import Run
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.domain.timers import MAX_STOP_GRACE
from taskrun.testing.simulation import Simulation
from tests.domain.test_core_timeouts import beat

GRACE = 30


class Stopper:
    """A worker with one run, which is under way."""

    def __init__(self, sim: Simulation, **limits: Any) -> None:
        self.sim = sim
        self.session = sim.connect("w1", process="p1", slots=1)
        self.task_id = sim.create(**limits).id
        self.run_id = sim.assigned(self.session).run_id
        self._seq = 0
        self.report(RunStatus.RUNNING)

    def report(self, status: RunStatus, within: float = 0) -> None:
        within_ms = round(within * 1000)
        self.sim.say(self.session, RunReport(self.run_id, status, seq=self._seq, gone_within_ms=within_ms))
        self._seq += 1

    def stopping(self, within: float = GRACE) -> None:
        """It says that it stops the run."""
        self.report(RunStatus.RUNNING, within)

    def wait(self, seconds: int) -> None:
        beat(self.sim, self.session, seconds)

    def come_back(self) -> None:
        self.session = self.sim.connect("w1", process="p1", slots=1, live_runs=[LiveRun(self.run_id, self._seq)])

    @property
    def goes_on(self) -> bool:
        return self.sim.task(self.task_id).status is TaskStatus.RUNNING

    @property
    def is_cancelled(self) -> bool:
        return self.sim.task(self.task_id).status is TaskStatus.CANCELLED

    @property
    def run(self) -> Run:
        return self.sim.task(self.task_id).runs[0]

    @property
    def cancels(self) -> int:
        """How often it was told to stop since the last look."""
        return sum(isinstance(word, CancelRun) for word in self.sim.heard(self.session))


@pytest.fixture
def stopper(sim: Simulation) -> Stopper:
    return Stopper(sim)


def cancelled(sim: Simulation) -> Stopper:
    stopper = Stopper(sim)
    sim.cancel(stopper.task_id)
    stopper.stopping()
    return stopper


def test_a_task_is_not_cancelled_before_its_agent_is_gone_however_long_that_takes(sim: Simulation) -> None:
    stopper = cancelled(sim)
    stopper.wait(GRACE)
    assert stopper.goes_on
    stopper.report(RunStatus.CANCELLED)
    assert stopper.is_cancelled
    assert (stopper.run.failure, stopper.run.error) == (FailureKind.CANCELLED, "")


def test_a_worker_that_is_late_even_so_is_waited_for_no_longer_and_the_run_says_that_nobody_knows(
    sim: Simulation,
) -> None:
    stopper = cancelled(sim)
    stopper.wait(GRACE + 14)
    assert stopper.goes_on
    stopper.wait(1)
    assert stopper.is_cancelled
    assert stopper.run.error == (
        "the task was cancelled; the worker w1 has not confirmed its end: its processes may go on for a while"
    )


def test_the_time_counts_from_what_the_worker_said_last(stopper: Stopper) -> None:
    stopper.sim.cancel(stopper.task_id)
    stopper.wait(14)
    stopper.stopping(5)
    stopper.wait(19)
    assert stopper.goes_on
    stopper.wait(1)
    assert stopper.is_cancelled


@pytest.mark.parametrize("within", [GRACE, 4_000_000])
def test_no_worker_makes_it_last_for_ever_by_what_it_says(stopper: Stopper, within: float) -> None:
    stopper.sim.cancel(stopper.task_id)
    for _ in range(int(MAX_STOP_GRACE) // 10 + 1):
        stopper.stopping(within)
        stopper.wait(10)
    assert stopper.goes_on
    stopper.stopping(within)
    stopper.wait(5)
    assert stopper.is_cancelled


def test_nor_by_going_away_and_coming_back(stopper: Stopper) -> None:
    stopper.sim.cancel(stopper.task_id)
    for _ in range(int(MAX_STOP_GRACE) // 10 + 1):
        stopper.wait(10)
        stopper.sim.vanish(stopper.session)
        stopper.come_back()
        assert stopper.cancels == 1
    assert stopper.goes_on
    stopper.wait(5)
    assert stopper.is_cancelled


def test_who_was_not_told_to_stop_and_says_that_it_does_gets_no_time_for_it(stopper: Stopper) -> None:
    stopper.stopping(1000)
    stopper.wait(20)
    assert stopper.goes_on
    stopper.sim.cancel(stopper.task_id)
    stopper.wait(15)
    assert stopper.is_cancelled


def test_a_control_plane_that_begins_anew_tells_the_worker_again_and_hears_how_long_it_takes(sim: Simulation) -> None:
    stopper = cancelled(sim)
    stopper.wait(5)
    sim.restart()
    sim.wait(10)
    stopper.come_back()
    assert stopper.cancels == 1
    stopper.stopping(GRACE - 15)
    stopper.wait(GRACE - 1)
    assert stopper.goes_on
    stopper.wait(1)
    assert stopper.is_cancelled


def test_after_a_restart_a_worker_that_does_not_come_is_waited_for_no_longer_than_any(sim: Simulation) -> None:
    stopper = cancelled(sim)
    sim.restart()
    sim.wait(14.9)
    assert stopper.goes_on
    sim.wait(0.1)
    assert stopper.is_cancelled
    assert "has not confirmed its end" in stopper.run.error


@pytest.mark.parametrize("limits", [{"timeout_ms": 10_000}, {"silence_timeout_ms": 10_000}])
def test_a_run_whose_time_is_over_is_tried_again_only_when_its_agent_is_gone(
    sim: Simulation, limits: dict[str, int]
) -> None:
    stopper = Stopper(sim, retry_on=frozenset({FailureKind.TIMEOUT}), **limits)
    other = sim.connect("w2", process="p2")
    stopper.wait(10)
    assert stopper.cancels == 1
    stopper.stopping()
    stopper.wait(GRACE)
    assert not [word for word in sim.heard(other) if isinstance(word, AssignRun)]
    stopper.report(RunStatus.CANCELLED)
    assert sim.assigned(other).attempt == 2
    assert stopper.run.failure is FailureKind.TIMEOUT


def test_a_run_that_was_told_to_stop_in_time_and_whose_worker_is_then_lost_tells_both(sim: Simulation) -> None:
    stopper = Stopper(sim, timeout_ms=10_000)
    stopper.wait(10)
    sim.vanish(stopper.session)
    sim.wait(120)
    assert (stopper.run.failure, stopper.run.error) == (
        FailureKind.TIMEOUT,
        "the run took longer than its task allows; the worker was lost",
    )
