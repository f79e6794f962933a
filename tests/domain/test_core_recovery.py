"""Beginning again from a store, and going out of service."""

from __future__ import annotations

import pytest

from taskrun.domain.control_plane.inputs import DrainStarted, WorkerSpoke
from taskrun.domain.errors import Unavailable
from taskrun.domain.protocol import CancelRun, Heartbeat, LiveRun
from taskrun.domain.records import TaskSpec
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.testing.simulation import Simulation


def test_a_restart_forgets_no_waiting_task(sim: Simulation) -> None:
    tasks = [sim.create(), sim.create("other"), sim.create()]
    sim.restart()
    sim.connect(agents=("echo", "other"))
    assert {sim.task(task.id).status for task in tasks} == {TaskStatus.RUNNING}


def test_runs_that_were_under_way_at_a_restart_are_lost_and_their_tasks_tried_again(sim: Simulation) -> None:
    sim.connect()
    task = sim.create()
    sim.restart()
    waiting = sim.task(task.id)
    assert waiting.status is TaskStatus.PENDING
    assert (waiting.runs[0].failure, waiting.runs[0].error) == (FailureKind.WORKER_LOST, "the control plane restarted")
    assert sim.assigned(sim.connect()).attempt == 2


def test_a_cancel_that_was_asked_before_a_restart_holds_after_it(sim: Simulation) -> None:
    sim.connect()
    task = sim.create()
    sim.cancel(task.id)
    sim.restart()
    assert sim.task(task.id).status is TaskStatus.CANCELLED


@pytest.mark.parametrize(
    ("timeout_ms", "why"),
    [(0, "the run was silent for longer than its task allows"), (600_000, "the run's time was over")],
)
def test_why_a_run_was_told_to_stop_is_known_after_a_restart(sim: Simulation, timeout_ms: int, why: str) -> None:
    """Its worker only says that it was stopped: without the reason that would be tried again."""
    session = sim.connect(process="p")
    task = sim.create(silence_timeout_ms=1000, timeout_ms=timeout_ms)
    run_id = sim.assigned(session).run_id
    sim.report(session, run_id, RunStatus.RUNNING)
    sim.wait(1)
    sim.restart()
    again = sim.connect(process="p", live_runs=[LiveRun(run_id, 1)])
    assert CancelRun(run_id, why) in sim.heard(again)
    sim.report(again, run_id, RunStatus.CANCELLED, FailureKind.CANCELLED)
    [run] = sim.task(task.id).runs
    assert (run.failure, run.error) == (FailureKind.TIMEOUT, why)
    assert sim.task(task.id).status is TaskStatus.FAILED


def test_a_run_that_was_to_be_taken_back_is_so_after_a_restart(sim: Simulation) -> None:
    session = sim.connect(process="p")
    task = sim.create()
    run_id = sim.assigned(session).run_id
    sim.wait(30)
    sim.restart()
    again = sim.connect(process="p", live_runs=[LiveRun(run_id, 1)])
    assert CancelRun(run_id, "the run was not started in time") in sim.heard(again)
    sim.report(again, run_id, RunStatus.CANCELLED, FailureKind.CANCELLED)
    assert sim.task(task.id).runs[0].failure is FailureKind.WORKER_LOST


def test_the_last_attempt_that_was_under_way_at_a_restart_fails_its_task(sim: Simulation) -> None:
    sim.connect()
    task = sim.create(max_attempts=1)
    sim.restart()
    assert sim.task(task.id).status is TaskStatus.FAILED


def test_finished_tasks_are_left_alone(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.report(session, task.runs[0].id, RunStatus.COMPLETED)
    done = sim.task(task.id)
    sim.restart()
    assert sim.task(task.id) == done


def test_a_task_that_was_claimed_but_not_yet_given_out_waits_again_after_a_restart(sim: Simulation) -> None:
    task = sim.create()
    session = sim.connect(slots=0)
    sim.turn(WorkerSpoke(session, [Heartbeat(WorkerStatus.IDLE, 0, 1)]))
    assert sim.store.claimed == {task.id}
    sim.restart()
    assert sim.assigned(sim.connect()).task_id == task.id


def test_a_worker_of_before_a_restart_is_unknown_until_it_comes_again(sim: Simulation) -> None:
    session = sim.connect()
    sim.restart()
    sim.create()
    sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 10))
    assert sim.core.workers() == []


# Drain.


def test_a_draining_control_plane_takes_in_no_task_and_no_worker(sim: Simulation) -> None:
    sim.turn(DrainStarted())
    with pytest.raises(Unavailable):
        sim.create()
    with pytest.raises(Unavailable):
        sim.connect()
    assert sim.store.tasks == {}
    assert sim.core.workers() == []


def test_a_draining_control_plane_goes_on_with_what_it_has(sim: Simulation) -> None:
    session = sim.connect(slots=1)
    first, second, third = sim.create_all(*[TaskSpec("echo", "1")] * 3)
    sim.turn(DrainStarted())
    sim.report(session, first.runs[0].id, RunStatus.COMPLETED)
    sim.cancel(third.id)
    statuses = [sim.task(task.id).status for task in (first, second, third)]
    assert statuses == [TaskStatus.COMPLETED, TaskStatus.RUNNING, TaskStatus.CANCELLED]
