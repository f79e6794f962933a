"""Deadlines of runs: to start, to end, to stop."""

from __future__ import annotations

from typing import Any

import pytest

from taskrun.domain.events import RunEnded
from taskrun.domain.protocol import CancelRun, Heartbeat, HeartbeatAck, LiveRun, RunReport
from taskrun.domain.records import Task, Usage
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.testing.simulation import Simulation


def beat(sim: Simulation, session: int, seconds: int) -> None:
    """So much time passes, in which the worker says that it is well, and nothing else."""
    for _ in range(seconds):
        sim.wait(1)
        sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 1))
        sim.sent[session] = [message for message in sim.heard(session) if not isinstance(message, HeartbeatAck)]


def test_a_run_that_its_worker_does_not_start_is_taken_back_and_tried_elsewhere(sim: Simulation) -> None:
    """Also what was queued on a dying stream is not stuck for ever."""
    deaf = sim.connect("deaf", slots=1)
    task = sim.create()
    lost = sim.assigned(deaf).run_id
    other = sim.connect("other")
    sim.heard(other)
    beat(sim, deaf, 44)
    assert sim.heard(deaf) == [CancelRun(lost, "the run was not started in time")]
    assert sim.heard(other) == []
    beat(sim, deaf, 1)
    assert sim.assigned(other).task_id == task.id
    [first, second] = sim.task(task.id).runs
    assert (first.failure, second.attempt) == (FailureKind.WORKER_LOST, 2)


def test_a_run_that_was_not_started_in_time_is_tried_again_once_its_worker_has_stopped_it(sim: Simulation) -> None:
    """The worker may have begun with it after all: it must not be executed in two places."""
    slow = sim.connect("slow", slots=1)
    task = sim.create()
    late = sim.assigned(slow).run_id
    other = sim.connect("other")
    beat(sim, slow, 30)
    sim.report(slow, late, RunStatus.RUNNING)
    beat(sim, slow, 10)
    sim.heard(other)
    sim.report(slow, late, RunStatus.CANCELLED, FailureKind.CANCELLED)
    assert sim.assigned(other).task_id == task.id
    [first, _] = sim.task(task.id).runs
    assert (first.failure, first.error) == (FailureKind.WORKER_LOST, "the run was not started in time")


def test_a_worker_that_may_be_cut_off_is_not_taken_for_one_that_has_stopped_its_run(sim: Simulation) -> None:
    """Nothing was heard of it since it was told to: first it has to be lost."""
    frozen = sim.connect("frozen", slots=1, process="p1")
    task = sim.create()
    sim.heard(frozen)
    sim.wait(100)
    assert len(sim.task(task.id).runs) == 1
    assert sim.task(task.id).status is TaskStatus.RUNNING
    sim.wait(20)
    assert sim.task(task.id).runs[0].failure is FailureKind.WORKER_LOST
    assert sim.task(task.id).status is TaskStatus.PENDING


def test_a_worker_that_comes_back_without_a_run_that_it_was_told_to_stop_has_none(sim: Simulation) -> None:
    session = sim.connect(process="p1")
    task = sim.create()
    sim.wait(31)
    sim.vanish(session)
    session = sim.connect(process="p1")
    assert sim.assigned(session).attempt == 2
    assert sim.task(task.id).runs[0].error == "the run was not started in time"


def test_a_run_that_is_done_before_it_could_be_taken_back_is_done(sim: Simulation) -> None:
    slow = sim.connect("slow", slots=1)
    task = sim.create()
    beat(sim, slow, 31)
    sim.report(slow, task.runs[0].id, RunStatus.COMPLETED)
    assert sim.task(task.id).status is TaskStatus.COMPLETED


def test_the_slot_of_a_run_that_was_taken_back_stays_taken_until_its_worker_speaks_of_it(sim: Simulation) -> None:
    deaf = sim.connect("deaf", slots=1)
    task = sim.create(max_attempts=2)
    lost = sim.assigned(deaf).run_id
    beat(sim, deaf, 45)
    assert sim.task(task.id).status is TaskStatus.PENDING
    sim.report(deaf, lost, RunStatus.COMPLETED)
    assert sim.task(task.id).status is TaskStatus.RUNNING
    assert sim.assigned(deaf).run_id != lost


def test_a_run_that_starts_late_after_it_was_taken_back_is_refused_and_stopped(sim: Simulation) -> None:
    deaf = sim.connect("deaf", slots=1)
    task = sim.create()
    lost = sim.assigned(deaf).run_id
    beat(sim, deaf, 45)
    before = sim.task(task.id)
    sim.heard(deaf)
    sim.report(deaf, lost, RunStatus.RUNNING)
    assert sim.task(task.id) == before
    assert sim.heard(deaf) == [CancelRun(lost, "the run is over or belongs to another worker")]
    sim.report(deaf, lost, RunStatus.RUNNING)
    assert sim.heard(deaf) == []
    sim.report(deaf, lost, RunStatus.CANCELLED)
    assert sim.assigned(deaf).task_id == task.id


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
    [run] = sim.task(task.id).runs
    assert run.failure is FailureKind.TIMEOUT
    assert run.error.startswith("the run took longer than its task allows; the worker w1 has not confirmed its end")


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


# A worker that is away.


def away(sim: Simulation, **limits: Any) -> tuple[Task, LiveRun]:
    """A run that is under way, whose worker is cut off."""
    session = sim.connect(process="p1")
    task = sim.create(**limits)
    live = LiveRun(sim.assigned(session).run_id, 1)
    sim.say(session, RunReport(live.run_id, RunStatus.RUNNING, seq=0))
    sim.vanish(session)
    return task, live


def test_the_time_of_a_run_goes_on_while_the_control_plane_is_down(sim: Simulation) -> None:
    task, live = away(sim, timeout_ms=60_000)
    sim.wait(40)
    sim.restart()
    session = sim.connect(process="p1", live_runs=[live])
    sim.heard(session)
    sim.wait(19)
    assert sim.heard(session) == []
    sim.wait(1)
    assert sim.heard(session) == [CancelRun(live.run_id, "the run took longer than its task allows")]
    sim.say(session, RunReport(live.run_id, RunStatus.CANCELLED, seq=1))
    assert sim.task(task.id).runs[0].failure is FailureKind.TIMEOUT


def test_a_worker_that_comes_back_after_the_time_of_its_run_may_have_been_done_in_time(sim: Simulation) -> None:
    """It keeps to the time itself, also while nobody hears it."""
    task, live = away(sim, timeout_ms=10_000)
    sim.wait(60)
    sim.restart()
    sim.wait(100)
    assert sim.task(task.id).status is TaskStatus.RUNNING
    session = sim.connect(process="p1", live_runs=[live])
    assert sim.heard(session)[1:] == [CancelRun(live.run_id, "the run took longer than its task allows")]
    sim.say(session, RunReport(live.run_id, RunStatus.COMPLETED, seq=1))
    assert sim.task(task.id).status is TaskStatus.COMPLETED


def test_a_worker_that_comes_back_after_the_time_of_its_run_has_to_say_so_soon(sim: Simulation) -> None:
    task, live = away(sim, timeout_ms=10_000)
    sim.wait(60)
    sim.connect(process="p1", live_runs=[live])
    sim.wait(14.9)
    assert sim.task(task.id).status is TaskStatus.RUNNING
    sim.wait(0.1)
    assert sim.task(task.id).runs[0].failure is FailureKind.TIMEOUT


def test_the_run_of_a_worker_that_never_comes_back_failed_of_what_it_was_stopped_for(sim: Simulation) -> None:
    task, _ = away(sim, timeout_ms=10_000)
    sim.wait(120)
    ended = sim.task(task.id)
    assert (ended.status, ended.runs[0].failure) == (TaskStatus.FAILED, FailureKind.TIMEOUT)


def test_a_worker_that_is_away_is_not_silent(sim: Simulation) -> None:
    task, live = away(sim, silence_timeout_ms=20_000)
    sim.wait(60)
    session = sim.connect(process="p1", live_runs=[live])
    assert len(sim.heard(session)) == 1
    sim.wait(19)
    assert sim.heard(session) == []
    sim.wait(1)
    assert sim.heard(session) == [CancelRun(live.run_id, "the run was silent for longer than its task allows")]
    assert sim.task(task.id).status is TaskStatus.RUNNING
