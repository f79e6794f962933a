"""Cancelling: waiting tasks, running tasks, and what still comes of their runs."""

from __future__ import annotations

import pytest

from taskrun.domain.control_plane.inputs import CancelTask, WorkerGone, WorkerSpoke
from taskrun.domain.errors import FailedPrecondition, NotFound
from taskrun.domain.protocol import CancelRun, Heartbeat
from taskrun.domain.records import TaskChange
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.testing.simulation import Simulation

ENDS = [status for status in RunStatus if status.is_terminal]
ROOM = Heartbeat(WorkerStatus.IDLE, 0, 1)


def cancels(sim: Simulation, session: int) -> list[CancelRun]:
    return [message for message in sim.heard(session) if isinstance(message, CancelRun)]


def test_a_waiting_task_is_cancelled_at_once(sim: Simulation) -> None:
    task = sim.cancel(sim.create().id)
    assert (task.status, task.cancel_requested, task.finished_at_ms) == (TaskStatus.CANCELLED, True, sim.now.utc_ms)
    assert sim.task(task.id) == task
    assert sim.story(task.id)[-1].body == TaskChange(TaskStatus.CANCELLED, True)


def test_a_cancelled_waiting_task_is_never_given_out(sim: Simulation) -> None:
    task = sim.create()
    sim.cancel(task.id)
    assert not sim.task(task.id).runs
    session = sim.connect()
    assert [type(message).__name__ for message in sim.heard(session)] == ["HelloAck"]


def test_a_running_tasks_worker_is_told_and_the_task_shows_that_cancel_was_asked(sim: Simulation) -> None:
    session = sim.connect()
    [run] = sim.create().runs
    sim.heard(session)
    task = sim.cancel(sim.store.having(TaskStatus.RUNNING)[0].id)
    assert (task.status, task.cancel_requested) == (TaskStatus.RUNNING, True)
    assert cancels(sim, session) == [CancelRun(run.id, "the task was cancelled")]


@pytest.mark.parametrize("end", ENDS)
def test_the_task_is_cancelled_whatever_end_its_run_reports(sim: Simulation, end: RunStatus) -> None:
    session = sim.connect()
    task = sim.create(retry_on=frozenset(FailureKind))
    sim.cancel(task.id)
    sim.report(session, task.runs[0].id, end)
    ended = sim.task(task.id)
    assert ended.status is TaskStatus.CANCELLED
    assert [run.status for run in ended.runs] == [end]


def test_the_task_is_cancelled_after_15_s_without_a_report(sim: Simulation) -> None:
    sim.connect()
    task = sim.create()
    sim.cancel(task.id)
    sim.wait(14.9)
    assert sim.task(task.id).status is TaskStatus.RUNNING
    sim.wait(0.2)
    [run] = sim.task(task.id).runs
    assert sim.task(task.id).status is TaskStatus.CANCELLED
    assert (run.status, run.failure) == (RunStatus.CANCELLED, FailureKind.CANCELLED)
    assert "the worker w1 has not confirmed its end" in run.error


def test_a_report_that_a_run_has_started_does_not_give_it_more_time_to_stop(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(timeout_ms=3_600_000)
    sim.cancel(task.id)
    sim.wait(10)
    sim.report(session, task.runs[0].id, RunStatus.RUNNING)
    sim.wait(5)
    assert sim.task(task.id).status is TaskStatus.CANCELLED


def test_an_old_worker_that_goes_on_and_reports_completed_long_after_changes_nothing(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.cancel(task.id)
    sim.wait(15)
    ended = sim.task(task.id)
    sim.report(session, task.runs[0].id, RunStatus.COMPLETED)
    assert sim.task(task.id) == ended


def test_a_run_that_was_ended_unheard_holds_its_slot_until_its_worker_reports(sim: Simulation) -> None:
    session = sim.connect(slots=1)
    task = sim.create()
    sim.cancel(task.id)
    sim.wait(15)
    waiting = sim.create()
    assert sim.task(waiting.id).status is TaskStatus.PENDING
    assert sim.core.workers()[0].active_runs == 1
    sim.heard(session)
    sim.report(session, task.runs[0].id, RunStatus.COMPLETED)
    assert sim.assigned(session).task_id == waiting.id


def test_asking_again_changes_nothing(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    first = sim.cancel(task.id)
    sim.heard(session)
    sim.wait(10)
    assert sim.cancel(task.id) == first
    assert cancels(sim, session) == []
    sim.wait(5)
    assert sim.task(task.id).status is TaskStatus.CANCELLED


def test_everybody_who_cancels_a_waiting_task_at_once_is_answered(sim: Simulation) -> None:
    task = sim.create()
    sim.turn(CancelTask("one", task.id), CancelTask("two", task.id))
    sim.settle()
    assert sim.replies["one"] == sim.replies["two"] == sim.task(task.id)
    assert len(sim.story(task.id)) == 2


@pytest.mark.parametrize("end", ENDS)
def test_cancelling_a_finished_task_is_refused_and_changes_nothing(sim: Simulation, end: RunStatus) -> None:
    session = sim.connect()
    task = sim.create(max_attempts=1)
    sim.report(session, task.runs[0].id, end)
    ended = sim.task(task.id)
    with pytest.raises(FailedPrecondition, match=ended.status.value):
        sim.cancel(task.id)
    assert sim.task(task.id) == ended


def test_cancelling_an_unknown_task_is_refused(sim: Simulation) -> None:
    with pytest.raises(NotFound):
        sim.cancel("unknown")


def test_a_cancelled_run_is_not_tried_again_when_its_worker_is_lost(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.cancel(task.id)
    sim.vanish(session)
    assert sim.task(task.id).status is TaskStatus.CANCELLED
    assert sim.task(task.id).runs[0].failure is FailureKind.WORKER_LOST


def test_a_run_that_was_never_begun_is_cancelled_while_its_worker_is_away_which_then_takes_others(
    sim: Simulation,
) -> None:
    session = sim.connect("w1", process="p1")
    task = sim.create()
    sim.vanish(session)
    sim.cancel(task.id)
    sim.wait(15)
    assert sim.task(task.id).status is TaskStatus.CANCELLED
    waiting = sim.create()
    assert waiting.status is TaskStatus.PENDING
    sim.connect("w1", process="p1")
    assert sim.task(waiting.id).status is TaskStatus.RUNNING


def test_a_worker_that_gave_a_run_up_unasked_does_not_cancel_the_task(sim: Simulation) -> None:
    session = sim.connect(slots=1)
    task = sim.create()
    sim.report(session, task.runs[0].id, RunStatus.CANCELLED)
    again = sim.task(task.id)
    assert again.status is TaskStatus.RUNNING
    assert [run.failure for run in again.runs] == [FailureKind.CANCELLED, None]


def test_a_task_that_a_claim_takes_while_it_is_being_cancelled_is_cancelled_at_its_worker(sim: Simulation) -> None:
    task = sim.create()
    session = sim.connect(slots=0)
    sim.turn(WorkerSpoke(session, [ROOM]))
    sim.turn(CancelTask("cancel", task.id), overtake=True)
    sim.settle()
    assert sim.replies["cancel"] == sim.task(task.id)
    assert sim.task(task.id).cancel_requested
    assert len(cancels(sim, session)) == 1


def test_a_task_that_comes_back_to_the_queue_while_it_is_being_cancelled_is_cancelled_there(sim: Simulation) -> None:
    task = sim.create()
    session = sim.connect(slots=0)
    sim.turn(WorkerSpoke(session, [ROOM]))
    sim.turn(CancelTask("cancel", task.id), overtake=True)
    sim.turn(WorkerGone(session), overtake=True)
    sim.settle()
    assert sim.task(task.id).status is TaskStatus.CANCELLED
    assert sim.replies["cancel"] == sim.task(task.id)
