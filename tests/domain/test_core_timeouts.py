"""Deadlines of runs: to start, to end, to stop."""

from __future__ import annotations

import pytest

from taskrun.domain.events import RunEnded
from taskrun.domain.protocol import CancelRun, RunReport
from taskrun.domain.records import Usage
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.testing.simulation import Simulation


def test_a_run_that_its_worker_does_not_start_is_taken_back_and_tried_elsewhere(sim: Simulation) -> None:
    """Also what was queued on a dying stream is not stuck for ever."""
    deaf = sim.connect("deaf", slots=1)
    task = sim.create()
    lost = sim.assigned(deaf).run_id
    other = sim.connect("other")
    sim.wait(30)
    assert sim.heard(deaf) == [CancelRun(lost, "the run was not started in time")]
    assert sim.assigned(other).task_id == task.id
    [first, second] = sim.task(task.id).runs
    assert (first.failure, second.attempt) == (FailureKind.WORKER_LOST, 2)


def test_the_slot_of_a_run_that_was_taken_back_stays_taken_until_its_worker_speaks_of_it(sim: Simulation) -> None:
    deaf = sim.connect("deaf", slots=1)
    task = sim.create(max_attempts=2)
    lost = sim.assigned(deaf).run_id
    sim.wait(30)
    assert sim.task(task.id).status is TaskStatus.PENDING
    sim.report(deaf, lost, RunStatus.COMPLETED)
    assert sim.task(task.id).status is TaskStatus.RUNNING
    assert sim.assigned(deaf).run_id != lost


def test_a_run_that_starts_late_after_it_was_taken_back_is_refused(sim: Simulation) -> None:
    deaf = sim.connect("deaf", slots=1)
    task = sim.create()
    lost = sim.assigned(deaf).run_id
    sim.wait(30)
    before = sim.task(task.id)
    sim.report(deaf, lost, RunStatus.RUNNING)
    assert sim.task(task.id) == before


@pytest.mark.parametrize("end", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_run_that_takes_longer_than_its_task_allows_is_stopped_and_fails(sim: Simulation, end: RunStatus) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=2500)
    run_id = sim.assigned(session).run_id
    sim.wait(20)
    sim.report(session, run_id, RunStatus.RUNNING)
    sim.wait(2.4)
    assert sim.heard(session) == []
    sim.wait(0.1)
    assert sim.heard(session) == [CancelRun(run_id, "the run took longer than its task allows")]
    sim.say(session, RunReport(run_id, end, "killed", FailureKind.CANCELLED, usage=Usage(7)))
    [run] = sim.task(task.id).runs
    assert sim.task(task.id).status is TaskStatus.FAILED
    assert (run.status, run.failure, run.usage) == (RunStatus.FAILED, FailureKind.TIMEOUT, Usage(7))
    assert run.error == "the run took longer than its task allows"


def test_a_run_that_was_done_before_it_could_be_stopped_is_done(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=1000)
    run_id = sim.assigned(session).run_id
    sim.report(session, run_id, RunStatus.RUNNING)
    sim.wait(1)
    sim.report(session, run_id, RunStatus.COMPLETED)
    assert sim.task(task.id).status is TaskStatus.COMPLETED


def test_a_run_that_ends_in_time_is_not_timed_out(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=1000)
    run_id = sim.assigned(session).run_id
    sim.report(session, run_id, RunStatus.RUNNING)
    sim.report(session, run_id, RunStatus.COMPLETED)
    sim.wait(30)
    assert sim.heard(session) == []
    assert sim.task(task.id).status is TaskStatus.COMPLETED


def test_a_hung_agent_of_a_worker_that_does_not_stop_it_does_not_hold_its_task_for_ever(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=1000, max_attempts=1)
    sim.report(session, sim.assigned(session).run_id, RunStatus.RUNNING)
    sim.wait(16)
    assert sim.task(task.id).status is TaskStatus.FAILED
    assert sim.task(task.id).runs[0].failure is FailureKind.TIMEOUT


def test_a_timeout_is_tried_again_if_the_task_asks(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=1000, retry_on=frozenset({FailureKind.TIMEOUT}))
    run_id = sim.assigned(session).run_id
    sim.report(session, run_id, RunStatus.RUNNING)
    sim.wait(1)
    sim.heard(session)
    sim.report(session, run_id, RunStatus.FAILED)
    assert sim.assigned(session).attempt == 2
    assert sim.task(task.id).status is TaskStatus.RUNNING


def test_without_a_timeout_a_run_may_take_its_time(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.report(session, sim.assigned(session).run_id, RunStatus.RUNNING)
    for _ in range(100):
        sim.wait(30)
        sim.report(session, "unknown", RunStatus.COMPLETED)
    assert sim.task(task.id).status is TaskStatus.RUNNING


def test_a_task_that_is_cancelled_while_it_times_out_is_cancelled(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=1000)
    run_id = sim.assigned(session).run_id
    sim.report(session, run_id, RunStatus.RUNNING)
    sim.wait(1)
    sim.heard(session)
    sim.cancel(task.id)
    assert sim.heard(session) == []
    sim.report(session, run_id, RunStatus.FAILED)
    assert sim.task(task.id).status is TaskStatus.CANCELLED


def test_deadlines_do_not_read_the_wall_clock(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=1000)
    sim.report(session, sim.assigned(session).run_id, RunStatus.RUNNING)
    sim.core.handle([], sim.now._replace(utc_ms=sim.now.utc_ms + 10**9))
    assert sim.heard(session) == []
    assert sim.task(task.id).status is TaskStatus.RUNNING


def test_a_wall_clock_that_is_set_back_makes_no_duration_negative(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.utc_shift_ms = -3_600_000
    sim.report(session, task.runs[0].id, RunStatus.COMPLETED)
    assert [ended.duration_ms for ended in sim.happened(RunEnded)] == [0]
