"""When a task is tried again: at once, after a rest, or not at all."""

from __future__ import annotations

import pytest

from taskrun.domain.control_plane.inputs import CancelTask, ConnectWorker, WorkerSpoke
from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import OutputSegment, Run, Task
from taskrun.domain.retry import retry_delay
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import OLD, Simulation

AGENT_ERROR = frozenset({FailureKind.AGENT_ERROR})


def failed_twice(sim: Simulation) -> tuple[Task, int]:
    """A task that rests after two failures, and the session of the only worker."""
    session = sim.connect()
    task = sim.create(retry_on=AGENT_ERROR, max_attempts=5)
    for _ in range(2):
        sim.report(session, sim.assigned(session).run_id, RunStatus.FAILED, FailureKind.AGENT_ERROR)
    return task, session


def lose_soon(sim: Simulation, worker_id: str, after: int = 5) -> None:
    """A worker gets the one task that waits, and is lost some seconds later."""
    session = sim.connect(worker_id, features=OLD)
    sim.report(session, sim.assigned(session).run_id, RunStatus.RUNNING)
    for _ in range(after):
        sim.wait(1)
        sim.say(session)
    sim.vanish(session)
    sim.wait(120)


# Rest.


def test_the_first_retry_comes_at_once_and_the_second_after_a_rest() -> None:
    sim = Simulation()
    task, session = failed_twice(sim)
    assert sim.heard(session) == []
    assert sim.task(task.id).status is TaskStatus.PENDING
    sim.wait(1)
    assert sim.assigned(session).attempt == 3


def test_a_task_that_rests_is_given_to_nobody_else() -> None:
    sim = Simulation()
    failed_twice(sim)
    other = sim.connect("w2")
    assert sim.heard(other)[1:] == []


def test_who_has_rested_waits_in_the_queue_if_nobody_is_free() -> None:
    sim = Simulation()
    task, session = failed_twice(sim)
    sim.vanish(session)
    sim.wait(200)
    assert sim.task(task.id).status is TaskStatus.PENDING
    assert sim.assigned(sim.connect("w2")).task_id == task.id


def test_a_task_that_rests_can_be_cancelled_at_once() -> None:
    sim = Simulation()
    task, _ = failed_twice(sim)
    assert sim.cancel(task.id).status is TaskStatus.CANCELLED
    sim.wait(10)
    with pytest.raises(FailedPrecondition):
        sim.cancel(task.id)


def test_a_cancel_that_comes_while_a_task_goes_to_rest_is_heard() -> None:
    sim = Simulation()
    task, session = failed_twice(sim)
    sim.vanish(session)
    sim.wait(5)
    sim.turn(ConnectWorker("connect", 77, "w2", sim.hello("echo")))
    sim.turn(CancelTask("cancel", task.id), overtake=True)
    failed = RunReport(sim.assigned(77).run_id, RunStatus.FAILED, "no", FailureKind.AGENT_ERROR)
    sim.turn(WorkerSpoke(77, (failed,)), overtake=True)
    assert sim.replies["cancel"] == sim.task(task.id)
    assert sim.task(task.id).status is TaskStatus.CANCELLED


def test_a_task_that_rests_is_not_lost_with_the_control_plane() -> None:
    sim = Simulation()
    task, _ = failed_twice(sim)
    sim.restart()
    assert sim.assigned(sim.connect("w2")).task_id == task.id


def test_rests_double_up_to_a_limit_and_differ() -> None:
    timers = ControlPlaneTimers(retry=1.0, retry_max=60.0)
    runs = [Run(f"r{n}", "w", RunStatus.FAILED, n + 1, failure=FailureKind.AGENT_ERROR) for n in range(40)]
    rests = [retry_delay(runs[: n + 1], timers) for n in range(40)]
    assert rests[0] == 0
    for n, rest in enumerate(rests[1:]):
        most = min(60.0, 2.0**n)
        assert most / 2 <= rest <= most
    assert len(set(rests[10:])) == 30


def test_a_run_that_was_turned_away_makes_nobody_rest() -> None:
    runs = [Run(f"r{n}", "w", RunStatus.FAILED, 1, failure=FailureKind.REJECTED) for n in range(5)]
    assert retry_delay(runs, ControlPlaneTimers()) == 0


# Poison.


def test_a_task_that_takes_two_workers_with_it_is_poison() -> None:
    sim = Simulation()
    task = sim.create(max_attempts=10)
    lose_soon(sim, "w1")
    lose_soon(sim, "w2")
    last = sim.task(task.id)
    assert last.status is TaskStatus.FAILED
    assert [run.failure for run in last.runs] == [FailureKind.WORKER_LOST, FailureKind.POISON]
    assert "given to no other" in last.runs[-1].error


def test_workers_that_are_lost_later_are_not_the_task_s_doing() -> None:
    sim = Simulation()
    task = sim.create(max_attempts=10)
    for worker_id in ("w1", "w2", "w3"):
        lose_soon(sim, worker_id, after=61)
    assert sim.task(task.id).status is TaskStatus.PENDING


def test_poison_can_be_switched_off() -> None:
    sim = Simulation(ControlPlaneTimers(poison=0))
    task = sim.create(max_attempts=10)
    for worker_id in ("w1", "w2", "w3"):
        lose_soon(sim, worker_id)
    assert sim.task(task.id).status is TaskStatus.PENDING


# Silence.


def test_a_run_that_says_nothing_for_too_long_is_stopped() -> None:
    sim = Simulation()
    session = sim.connect(features=OLD)
    task = sim.create(silence_timeout_ms=20_000)
    run_id = sim.assigned(session).run_id
    sim.report(session, run_id, RunStatus.RUNNING)
    for number in range(3):
        sim.wait(15)
        sim.say(session, OutputSegment(run_id, number, ("still here",)))
    sim.wait(19)
    assert sim.heard(session) == []
    sim.wait(2)
    [stop] = sim.heard(session)
    assert "silent" in stop.reason  # type: ignore[union-attr]
    sim.report(session, run_id, RunStatus.CANCELLED)
    run = sim.task(task.id).runs[-1]
    assert (run.failure, "silent" in run.error) == (FailureKind.TIMEOUT, True)
