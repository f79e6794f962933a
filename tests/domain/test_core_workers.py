"""Workers come, beat, fall silent, vanish and come back."""

from __future__ import annotations

import pytest

from taskrun.domain.control_plane.inputs import WorkerGone, WorkerSpoke
from taskrun.domain.errors import ProtocolViolation, Unavailable
from taskrun.domain.events import WorkerConnected, WorkerMoved
from taskrun.domain.protocol import FEATURES, RESUME, AssignRun, CancelRun, Heartbeat, HeartbeatAck, HelloAck
from taskrun.domain.records import Task
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import Simulation


def beat(status: WorkerStatus = WorkerStatus.IDLE, runs: int = 0, slots: int = 10, at: int = 0) -> Heartbeat:
    return Heartbeat(status, runs, slots, at)


# Coming.


def test_a_worker_that_is_let_in_is_greeted_first_with_its_certificates_id(sim: Simulation) -> None:
    sim.create()
    first, second = sim.heard(sim.connect("w1"))
    assert first == HelloAck("w1", frozenset(FEATURES) - {RESUME})
    assert isinstance(second, AssignRun)


def test_a_worker_is_shown_as_it_said_hello(sim: Simulation) -> None:
    sim.connect("w1", labels={"zone": "a"}, slots=4)
    [view] = sim.core.workers()
    assert view == sim.core.worker("w1")
    assert (view.id, view.status, view.active_runs, view.max_concurrent_runs) == ("w1", WorkerStatus.IDLE, 0, 4)
    assert (view.info.hostname, view.info.labels, view.connected_at_ms) == ("host", {"zone": "a"}, sim.now.utc_ms)


def test_workers_are_listed_by_id_and_found_by_agent_and_status(sim: Simulation) -> None:
    sim.connect("w2", ("echo",))
    sim.connect("w1", ("echo", "other"))
    sim.create("other")
    ids = [[view.id for view in views] for views in (sim.core.workers(), sim.core.workers("other"))]
    assert ids == [["w1", "w2"], ["w1"]]
    assert [view.id for view in sim.core.workers(status=WorkerStatus.BUSY)] == ["w1"]
    assert sim.core.workers("echo", WorkerStatus.DRAINING) == []
    assert sim.core.worker("unknown") is None


def test_a_second_hello_on_a_stream_ends_it_and_registers_nobody_else(sim: Simulation) -> None:
    session = sim.connect("w1")
    sim.say(session, sim.hello("echo"), beat())
    assert isinstance(sim.closed[session], ProtocolViolation)
    assert sim.core.workers() == []


# Heartbeats.


def test_a_heartbeat_is_acked_and_remembered(sim: Simulation) -> None:
    session = sim.connect()
    sim.heard(session)
    sim.wait(1)
    sim.say(session, beat(at=77))
    assert sim.heard(session) == [HeartbeatAck(77)]
    assert sim.core.workers()[0].last_heartbeat_ms == sim.now.utc_ms


def test_a_heartbeat_changes_nothing_in_the_store(sim: Simulation) -> None:
    session = sim.connect()
    assert not sim.turn(WorkerSpoke(session, [beat()])).batch


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("said", WorkerStatus)
def test_what_a_worker_says_of_itself_is_weighed_against_the_runs_it_has(
    sim: Simulation, said: WorkerStatus, busy: bool
) -> None:
    session = sim.connect()
    if busy:
        sim.create()
    sim.say(session, beat(said, runs=5))
    by_count = WorkerStatus.BUSY if busy else WorkerStatus.IDLE
    own_word = said in (WorkerStatus.DRAINING, WorkerStatus.ERROR)
    assert sim.core.workers()[0].status is (said if own_word else by_count)


def test_a_worker_is_busy_with_its_first_run_and_idle_after_its_last(sim: Simulation) -> None:
    session = sim.connect()
    first, second = sim.create(), sim.create()
    sim.report(session, first.runs[0].id, RunStatus.COMPLETED)
    assert sim.core.workers()[0].status is WorkerStatus.BUSY
    sim.report(session, second.runs[0].id, RunStatus.COMPLETED)
    assert sim.core.workers()[0].status is WorkerStatus.IDLE
    assert [moved.new for moved in sim.happened(WorkerMoved)] == [
        WorkerStatus.IDLE,
        WorkerStatus.BUSY,
        WorkerStatus.IDLE,
    ]


@pytest.mark.parametrize("own_word", [WorkerStatus.DRAINING, WorkerStatus.ERROR])
def test_what_a_worker_said_of_itself_stays_true_when_its_last_run_ends(
    sim: Simulation, own_word: WorkerStatus
) -> None:
    session = sim.connect()
    task = sim.create()
    sim.say(session, beat(own_word, 1))
    sim.report(session, task.runs[0].id, RunStatus.COMPLETED)
    assert sim.core.workers()[0].status is own_word


# Silence.


def test_a_worker_that_falls_silent_is_cut_and_its_runs_go_to_another(sim: Simulation) -> None:
    silent = sim.connect("silent")
    task = sim.create()
    sim.report(silent, task.runs[0].id, RunStatus.RUNNING)
    sim.wait(44)
    other = sim.connect("other")
    assert len(sim.core.workers()) == 2
    sim.wait(1)
    assert isinstance(sim.closed[silent], Unavailable)
    assert [view.id for view in sim.core.workers()] == ["other"]
    assert sim.assigned(other).task_id == task.id


def test_anything_a_worker_says_is_a_sign_of_life(sim: Simulation) -> None:
    session = sim.connect()
    for _ in range(4):
        sim.wait(44)
        sim.report(session, "unknown", RunStatus.COMPLETED)
    sim.wait(44.9)
    assert sim.closed == {}
    sim.wait(0.2)
    assert session in sim.closed


# Loss.


def lose(sim: Simulation, times: int) -> Task:
    task = sim.create()
    for number in range(times):
        sim.vanish(sim.connect(f"w{number}"))
    return sim.task(task.id)


def test_a_worker_whose_stream_breaks_is_lost_and_its_run_ends_so(sim: Simulation) -> None:
    task = lose(sim, 1)
    [run] = task.runs
    assert task.status is TaskStatus.PENDING
    assert (run.status, run.failure, run.error) == (RunStatus.FAILED, FailureKind.WORKER_LOST, "the worker was lost")
    assert sim.core.workers() == []


def test_no_run_stays_running_on_a_worker_that_is_gone_until_its_attempts_are_used_up() -> None:
    task = lose(Simulation(ControlPlaneTimers(retry=0, poison=0)), 3)
    assert task.status is TaskStatus.FAILED
    assert [run.attempt for run in task.runs] == [1, 2, 3]


def test_a_lost_worker_takes_its_slots_and_its_status_with_it(sim: Simulation) -> None:
    lose(sim, 1)
    last = [(moved.old, moved.new) for moved in sim.happened(WorkerMoved)][-3:]
    assert last == [
        (WorkerStatus.BUSY, WorkerStatus.DISCONNECTED),
        (WorkerStatus.DISCONNECTED, WorkerStatus.LOST),
        (WorkerStatus.LOST, None),
    ]


def test_all_runs_of_a_lost_worker_go_out_again(sim: Simulation) -> None:
    session = sim.connect("w1", slots=3)
    tasks = [sim.create() for _ in range(3)]
    sim.connect("w2", slots=2)
    sim.vanish(session)
    statuses = [sim.task(task.id).status for task in tasks]
    assert sorted(status.value for status in statuses) == ["PENDING", "RUNNING", "RUNNING"]


def test_news_of_a_stream_that_is_over_changes_nothing(sim: Simulation) -> None:
    session = sim.connect()
    sim.vanish(session)
    sim.say(session, beat())
    sim.vanish(session)
    assert sim.core.workers() == []


# Coming back.


def test_the_newer_stream_of_a_worker_takes_the_place_of_the_older(sim: Simulation) -> None:
    """Its old runs are over, so that it never has more than it takes."""
    old = sim.connect("w1", slots=1)
    task = sim.create()
    new = sim.connect("w1", slots=1)
    assert isinstance(sim.closed[old], Unavailable)
    assert [view.active_runs for view in sim.core.workers()] == [1]
    assert [run.status for run in sim.task(task.id).runs] == [RunStatus.FAILED, RunStatus.ASSIGNED]
    assert sim.assigned(new).task_id == task.id


def test_the_clean_up_of_the_old_stream_does_not_remove_the_new_one(sim: Simulation) -> None:
    old = sim.connect("w1")
    new = sim.connect("w1")
    sim.turn(WorkerGone(old))
    assert [view.id for view in sim.core.workers()] == ["w1"]
    sim.create()
    assert sim.assigned(new)


def test_a_run_goes_on_only_on_the_stream_it_began_on_and_a_new_stream_is_told_to_stop_it(sim: Simulation) -> None:
    """Nothing of a run is ever in a half-state: on a new stream the worker hears that its old run is over."""
    sim.connect("w1", slots=1)
    task = sim.create(max_attempts=1)
    [run] = task.runs
    new = sim.connect("w1", slots=1)
    sim.heard(new)
    sim.report(new, run.id, RunStatus.RUNNING)
    assert sim.heard(new) == [CancelRun(run.id, "the run is over or belongs to another worker")]
    assert sim.task(task.id).status is TaskStatus.FAILED


def test_a_worker_that_comes_back_is_known(sim: Simulation) -> None:
    sim.vanish(sim.connect("w1"))
    sim.connect("w1")
    assert [event.again for event in sim.happened(WorkerConnected)] == [False, True]
