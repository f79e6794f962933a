"""How long a task may wait for a worker."""

from __future__ import annotations

import pytest

from taskrun.domain.batch import ClaimExpired
from taskrun.domain.control_plane.expiry import AT_ONCE
from taskrun.domain.control_plane.inputs import CancelTask, CreateTask, WorkerSpoke
from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.events import TaskExpired, TaskMoved
from taskrun.domain.protocol import Heartbeat, RunReport
from taskrun.domain.records import NO_LABELS, Labels, Task, TaskChange, TaskSpec
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import Simulation

HASTY = TaskSpec("echo", "1", queue_timeout_ms=5000)


def has_expired(sim: Simulation, task: Task) -> bool:
    """Whether it has failed for having waited too long; otherwise it still waits."""
    now = sim.task(task.id)
    assert now.failure is (FailureKind.QUEUE_TIMEOUT if now.status is TaskStatus.FAILED else None)
    assert now.status in (TaskStatus.PENDING, TaskStatus.FAILED)
    return now.status is TaskStatus.FAILED


def test_a_task_that_nobody_takes_in_time_has_failed_without_a_run(sim: Simulation) -> None:
    task = sim.create(queue_timeout_ms=5000)
    sim.wait(4.9)
    assert not has_expired(sim, task)
    sim.wait(0.1)
    ended = sim.task(task.id)
    assert (ended.status, ended.failure, ended.runs) == (TaskStatus.FAILED, FailureKind.QUEUE_TIMEOUT, ())
    assert ended.finished_at_ms == task.created_at_ms + 5000
    last = sim.story(task.id)[-1]
    assert last.is_end
    assert last.body == TaskChange(TaskStatus.FAILED, failure=ended.failure, error=ended.error)
    assert sim.happened(TaskExpired) == [TaskExpired(ended, 5000)]
    assert sim.happened(TaskMoved)[-1] == TaskMoved(ended, TaskStatus.PENDING, TaskStatus.FAILED)


@pytest.mark.parametrize(
    ("agents", "labels", "slots", "why"),
    [
        (("other",), NO_LABELS, 1, "no connected worker offers the agent echo"),
        (("echo",), {"gpu": "no"}, 1, "no worker that offers the agent echo has the labels that it asks for"),
        (("echo",), {"gpu": "yes"}, 0, "no worker that it could go to has a free slot"),
    ],
)
def test_it_says_how_long_it_waited_and_what_for(
    sim: Simulation, agents: tuple[str, ...], labels: Labels, slots: int, why: str
) -> None:
    sim.connect(agents=agents, labels=labels, slots=slots)
    task = sim.create(queue_timeout_ms=2500, selector=(("gpu", "yes"),))
    sim.wait(2.5)
    assert sim.task(task.id).error == f"it waited 2.5 s in the queue and may wait 2.5 s: {why}"


def test_who_may_wait_for_ever_does(sim: Simulation) -> None:
    task = sim.create()
    assert sim.core.next_deadline() is None
    sim.wait(10_000_000)
    assert not has_expired(sim, task)


def test_a_task_that_has_a_worker_does_not_expire(sim: Simulation) -> None:
    sim.report(sim.connect(), sim.create(queue_timeout_ms=1000).runs[0].id, RunStatus.RUNNING)
    sim.wait(30)
    assert len(sim.store.having(TaskStatus.RUNNING)) == 1


def test_a_task_that_was_cancelled_does_not_expire(sim: Simulation) -> None:
    task = sim.create(queue_timeout_ms=1000)
    sim.cancel(task.id)
    sim.wait(2)
    assert sim.task(task.id).status is TaskStatus.CANCELLED


def test_those_with_less_time_expire_first_whenever_they_came(sim: Simulation) -> None:
    slow, quick = sim.create(queue_timeout_ms=9000), sim.create(queue_timeout_ms=1000)
    sim.wait(1)
    assert [has_expired(sim, task) for task in (slow, quick)] == [False, True]
    sim.wait(8)
    assert has_expired(sim, slow)


def test_many_that_expire_at_once_are_ended_in_several_turns(sim: Simulation) -> None:
    tasks = sim.create_all(*[HASTY] * (2 * AT_ONCE + 1))
    sim.mono += 5
    assert [len(asks) for asks in _asks(sim)] == [1, 1, 1, 0]
    assert all(has_expired(sim, task) for task in tasks)


def _asks(sim: Simulation) -> list[list[object]]:
    """Those for expired tasks of the turns that follow, until nothing is left to do."""
    turns = [sim.turn()]
    while sim.answers:
        turns.append(sim.turn())
    return [[ask for ask in turn.batch.asks if isinstance(ask, ClaimExpired)] for turn in turns]


def test_until_the_first_has_expired_the_store_is_not_asked(sim: Simulation) -> None:
    sim.create_all(*[HASTY] * 3)
    sim.mono += 4.9
    assert _asks(sim) == [[]]
    sim.mono += 0.2
    assert [len(asks) for asks in _asks(sim)] == [1, 0]


# One fate.


def test_a_slot_that_comes_too_late_gets_no_task_that_has_expired(sim: Simulation) -> None:
    """The claim and the time come in one turn: whoever takes the task out of the queue, it has waited too long."""
    task = sim.create(queue_timeout_ms=1000)
    sim.mono += 1
    session = sim.connect()
    assert has_expired(sim, task)
    assert len(sim.heard(session)) == 1
    assert sim.create().status is TaskStatus.RUNNING


def test_a_task_that_was_claimed_in_time_runs_although_the_answer_comes_late(sim: Simulation) -> None:
    """The wait is over when the control plane decides, and a claim is no decision yet."""
    session = sim.connect(slots=0)
    task = sim.create(queue_timeout_ms=1000)
    sim.mono += 0.999
    sim.turn(WorkerSpoke(session, [Heartbeat(WorkerStatus.IDLE, 0, 1)]))
    sim.settle()
    assert sim.task(task.id).status is TaskStatus.RUNNING


def test_a_task_whose_claim_is_answered_after_its_time_has_expired(sim: Simulation) -> None:
    session = sim.connect(slots=0)
    task = sim.create(queue_timeout_ms=1000)
    sim.mono += 0.999
    sim.turn(WorkerSpoke(session, [Heartbeat(WorkerStatus.IDLE, 0, 1)]))
    sim.mono += 0.001
    sim.settle()
    assert has_expired(sim, task)
    assert sim.create().status is TaskStatus.RUNNING


@pytest.mark.parametrize("overtake", [True, False])
def test_a_cancel_that_meets_the_end_of_the_wait_has_one_outcome(sim: Simulation, overtake: bool) -> None:
    task = sim.create(queue_timeout_ms=1000)
    sim.mono += 1
    sim.turn()
    sim.turn(CancelTask("cancel", task.id), overtake=overtake)
    sim.settle()
    assert has_expired(sim, task)
    refusal = sim.replies["cancel"]
    assert isinstance(refusal, FailedPrecondition)
    assert "FAILED" in refusal.message


def test_a_cancel_in_the_turn_in_which_the_wait_ends_comes_first(sim: Simulation) -> None:
    task = sim.create(queue_timeout_ms=1000)
    sim.mono += 1
    sim.turn(CancelTask("cancel", task.id))
    sim.settle()
    assert sim.task(task.id).status is TaskStatus.CANCELLED


# The next wait.


def test_after_a_run_the_task_may_wait_as_long_again(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(queue_timeout_ms=5000)
    sim.report(session, task.runs[0].id, RunStatus.RUNNING)
    sim.wait(20)
    sim.vanish(session)
    sim.wait(4.9)
    assert not has_expired(sim, task)
    sim.wait(0.1)
    assert has_expired(sim, task)
    assert [run.failure for run in sim.task(task.id).runs] == [FailureKind.WORKER_LOST]


def test_the_rest_before_a_retry_is_no_part_of_the_wait() -> None:
    sim = Simulation(ControlPlaneTimers(retry=8.0, poison=0))
    task = sim.create(queue_timeout_ms=1000)
    for _ in range(2):
        session = sim.connect()
        sim.report(session, sim.assigned(session).run_id, RunStatus.RUNNING)
        sim.vanish(session)
    sim.wait(4)
    assert not has_expired(sim, task)
    sim.wait(5)
    assert has_expired(sim, task)


def test_a_task_that_rested_for_longer_than_it_should_have_may_have_expired(sim: Simulation) -> None:
    """The control plane stood still."""
    session = sim.connect()
    task = sim.create(queue_timeout_ms=1000, retry_on=frozenset({FailureKind.AGENT_ERROR}))
    for _ in range(2):
        sim.report(session, sim.assigned(session).run_id, RunStatus.FAILED, FailureKind.AGENT_ERROR)
    sim.mono += 60
    sim.turn()
    assert has_expired(sim, task)
    assert sim.heard(session) == []


def test_workers_that_turn_a_task_away_do_not_keep_it_for_longer(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(queue_timeout_ms=5000)
    sim.wait(3)
    sim.say(session, RunReport(task.runs[0].id, RunStatus.FAILED, "full", FailureKind.REJECTED))
    sim.wait(1.9)
    assert not has_expired(sim, task)
    sim.wait(0.1)
    assert has_expired(sim, task)


def test_a_run_that_was_never_started_ends_no_wait(sim: Simulation) -> None:
    """Its time was over while the worker had it: there is none left to wait for another."""
    sim.connect()
    task = sim.create(queue_timeout_ms=5000)
    sim.wait(45)
    assert has_expired(sim, task)


# Clocks and restarts.


@pytest.mark.parametrize("down", [1, 3600])
def test_a_restart_forgets_no_deadline(sim: Simulation, down: int) -> None:
    task = sim.create(queue_timeout_ms=5000)
    sim.mono += down
    sim.restart()
    assert sim.core.next_deadline() is not None
    sim.wait(0 if down > 5 else 4)
    assert has_expired(sim, task)


def test_what_expired_while_nobody_was_there_says_how_long_it_waited(sim: Simulation) -> None:
    task = sim.create(queue_timeout_ms=5000)
    sim.mono += 3600
    sim.restart()
    sim.wait(0)
    assert sim.task(task.id).error.startswith("it waited 3600.0 s in the queue and may wait 5.0 s: ")


def test_what_was_claimed_for_its_end_when_the_control_plane_died_ends_after_the_restart(sim: Simulation) -> None:
    task = sim.create(queue_timeout_ms=1000)
    sim.mono += 1
    sim.turn()
    assert sim.store.claimed == {task.id}
    sim.restart()
    sim.wait(0)
    assert has_expired(sim, task)


def test_a_wall_clock_that_is_set_back_lets_tasks_wait_by_it(sim: Simulation) -> None:
    """What is stored are times of the wall clock: they have to mean the same after a restart."""
    task = sim.create(queue_timeout_ms=5000)
    sim.utc_shift_ms -= 60_000
    sim.wait(64)
    assert not has_expired(sim, task)
    sim.wait(1)
    assert has_expired(sim, task)


def test_the_same_request_with_another_deadline_is_another_request(sim: Simulation) -> None:
    spec = TaskSpec("echo", "1", idempotency_key="k")
    sim.turn(
        CreateTask(1, spec, "me"), CreateTask(2, TaskSpec("echo", "1", idempotency_key="k", queue_timeout_ms=1), "me")
    )
    sim.settle()
    assert isinstance(sim.replies[1], Task)
    assert "idempotency key" in str(sim.replies[2])
