"""What workers report of their runs, and what of it counts."""

from __future__ import annotations

import pytest

from taskrun.domain.events import MessageRefused, RunEnded, TaskRequeued
from taskrun.domain.protocol import AssignRun, CancelRun, RunReport
from taskrun.domain.records import Consumption, ModelBackend, OutputSegment, RunEvent, RunMessage, TaskChange, Usage
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import Simulation

ENDS = [status for status in RunStatus if status.is_terminal]


def test_a_run_is_running_when_its_worker_says_so(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.wait(1)
    sim.report(session, task.runs[0].id, RunStatus.RUNNING)
    [run] = sim.task(task.id).runs
    assert (run.status, run.started_at_ms) == (RunStatus.RUNNING, sim.now.utc_ms)
    assert sim.story(task.id)[-1].body == TaskChange(TaskStatus.RUNNING, False, run)


def test_a_second_report_of_the_start_changes_nothing(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.report(session, task.runs[0].id, RunStatus.RUNNING)
    before = sim.task(task.id)
    sim.wait(1)
    sim.report(session, task.runs[0].id, RunStatus.RUNNING)
    assert sim.task(task.id) == before


def test_a_run_that_completes_completes_its_task_with_all_that_was_reported(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    backend, usage = ModelBackend("anthropic", "claude"), Usage(1, 2, cost_usd=0.5)
    sim.wait(1.5)
    report = RunReport(task.runs[0].id, RunStatus.COMPLETED, backend=backend, usage=usage, session_id="s")
    sim.say(session, report)
    done = sim.task(task.id)
    [run] = done.runs
    assert (done.status, done.finished_at_ms) == (TaskStatus.COMPLETED, sim.now.utc_ms)
    assert (run.status, run.failure, run.finished_at_ms) == (RunStatus.COMPLETED, None, sim.now.utc_ms)
    assert (run.backend, run.usage, run.session_id) == (backend, usage, "s")
    consumed = {"claude": Consumption(1, 2, cost_usd=0.5)}
    assert sim.happened(RunEnded) == [
        RunEnded(task.id, run.id, "w1", "echo", RunStatus.COMPLETED, None, 1500, consumed)
    ]


def test_an_agents_failure_fails_the_task_and_keeps_its_words(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.report(session, task.runs[0].id, RunStatus.FAILED, error="it broke")
    failed = sim.task(task.id)
    assert failed.status is TaskStatus.FAILED
    assert (failed.runs[0].error, failed.runs[0].failure) == ("it broke", FailureKind.AGENT_ERROR)


def test_a_failure_that_the_task_wants_tried_again_is(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(max_attempts=2, retry_on=frozenset({FailureKind.AGENT_UNAVAILABLE}))
    sim.report(session, task.runs[0].id, RunStatus.FAILED, FailureKind.AGENT_UNAVAILABLE)
    [_, second] = sim.task(task.id).runs
    assert second.attempt == 2
    assert [requeued.failure for requeued in sim.happened(TaskRequeued)] == [FailureKind.AGENT_UNAVAILABLE]
    sim.report(session, second.id, RunStatus.FAILED, FailureKind.AGENT_UNAVAILABLE)
    assert sim.task(task.id).status is TaskStatus.FAILED


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("late", [RunStatus.RUNNING, *ENDS])
def test_no_report_changes_a_task_that_has_ended(sim: Simulation, end: RunStatus, late: RunStatus) -> None:
    """CANCELLED never becomes COMPLETED, nor COMPLETED RUNNING."""
    session = sim.connect()
    task = sim.create(max_attempts=1)
    sim.report(session, task.runs[0].id, end)
    ended, story = sim.task(task.id), list(sim.story(task.id))
    sim.report(session, task.runs[0].id, late)
    assert sim.task(task.id) == ended
    assert sim.story(task.id) == story


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.ASSIGNED])
@pytest.mark.parametrize("known", [True, False])
def test_a_status_that_no_worker_may_report_changes_nothing(sim: Simulation, status: RunStatus, known: bool) -> None:
    session = sim.connect()
    task = sim.create()
    sim.report(session, task.runs[0].id if known else "unknown", status)
    assert sim.task(task.id) == task


def test_the_same_end_reported_twice_frees_one_slot(sim: Simulation) -> None:
    session = sim.connect(slots=2)
    first, _, _ = sim.create(), sim.create(), sim.create()
    sim.report(session, first.runs[0].id, RunStatus.COMPLETED)
    sim.report(session, first.runs[0].id, RunStatus.COMPLETED)
    assert sim.core.workers()[0].active_runs == 2


# Fencing.


def test_another_workers_report_about_a_run_is_refused(sim: Simulation) -> None:
    sim.connect("w1")
    task = sim.create()
    thief = sim.connect("thief")
    run_id = task.runs[0].id
    for status in (RunStatus.RUNNING, *ENDS):
        sim.report(thief, run_id, status)
    sim.say(thief, OutputSegment(run_id, 0, ("mine",)), RunEvent(run_id, RunEventType.TOOL_REQUESTED))
    assert sim.task(task.id) == task
    assert {(refused.worker_id, refused.run_id) for refused in sim.happened(MessageRefused)} == {("thief", run_id)}


def test_a_lost_workers_report_for_a_superseded_run_is_refused_and_it_is_told_to_stop(sim: Simulation) -> None:
    lost = sim.connect("w1", slots=1)
    task = sim.create()
    sim.vanish(lost)
    session = sim.connect("w1", slots=1)
    [old, new] = sim.task(task.id).runs
    before = sim.task(task.id)
    sim.heard(session)
    sim.report(session, old.id, RunStatus.RUNNING)
    sim.report(session, old.id, RunStatus.COMPLETED)
    assert sim.task(task.id) == before
    assert sim.heard(session) == [CancelRun(old.id, "the run is over or belongs to another worker")]
    sim.report(session, new.id, RunStatus.COMPLETED)
    assert sim.task(task.id).status is TaskStatus.COMPLETED


def test_each_attempt_is_a_new_run_with_a_new_id() -> None:
    sim = Simulation(ControlPlaneTimers(retry=0, poison=0))
    for _ in range(3):
        sim.vanish(sim.connect()) if sim.store.tasks else sim.create()
    sim.vanish(sim.connect())
    [task] = sim.store.tasks.values()
    assert len({run.id for run in task.runs}) == 3
    assert [run.attempt for run in task.runs] == [1, 2, 3]


# The story.


def test_the_story_tells_all_attempts_in_order_with_one_numbering(sim: Simulation) -> None:
    """What the first run said is told as the first run's, also after a retry made a second."""
    first = sim.connect("w1")
    task = sim.create()
    old = task.runs[0].id
    sim.say(first, OutputSegment(old, 0, ("a", "b")))
    sim.vanish(first)
    second = sim.connect("w2")
    new = sim.assigned(second).run_id
    message = RunMessage(new, ChatRole.ASSISTANT, "hello")
    sim.say(second, OutputSegment(new, 0, ("c",)), message, RunReport(new, RunStatus.COMPLETED))
    story = sim.story(task.id)
    assert [entry.seq for entry in story] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert [entry.body for entry in story if not isinstance(entry.body, TaskChange)] == [
        OutputSegment(old, 0, ("a", "b")),
        OutputSegment(new, 0, ("c",)),
        message,
    ]
    assert [entry.body.status.value for entry in story if isinstance(entry.body, TaskChange)] == [
        "PENDING",
        "RUNNING",
        "PENDING",
        "RUNNING",
        "COMPLETED",
    ]


def test_the_start_and_the_end_of_a_fast_agent_in_one_message_are_both_told(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    run_id = task.runs[0].id
    sim.say(session, RunReport(run_id, RunStatus.RUNNING), OutputSegment(run_id, 0, ("x",)))
    sim.report(session, run_id, RunStatus.COMPLETED)
    statuses = [
        entry.body.run.status for entry in sim.story(task.id) if isinstance(entry.body, TaskChange) and entry.body.run
    ]
    assert statuses == [RunStatus.ASSIGNED, RunStatus.RUNNING, RunStatus.COMPLETED]


def test_events_and_messages_of_a_run_are_told(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    run_id = task.runs[0].id
    event = RunEvent(run_id, RunEventType.TOOL_REQUESTED, {"tool": "bash"}, "e1")
    message = RunMessage(run_id, ChatRole.USER, "and then?")
    sim.say(session, event, message)
    assert [entry.body for entry in sim.story(task.id)[-2:]] == [event, message]


def test_a_worker_that_never_reported_the_start_may_report_the_end(sim: Simulation) -> None:
    session = sim.connect()
    sim.create()
    run = sim.assigned(session)
    assert isinstance(run, AssignRun)
    sim.report(session, run.run_id, RunStatus.FAILED)
    assert sim.task(run.task_id).runs[0].started_at_ms == 0
