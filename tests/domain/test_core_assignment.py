"""Who gets what, and when."""

from __future__ import annotations

from taskrun.domain.control_plane.inputs import ConnectWorker, CreateTask, WorkerGone, WorkerSpoke
from taskrun.domain.events import RunAssigned, SlotsChanged
from taskrun.domain.protocol import AssignRun, Heartbeat, RunReport
from taskrun.domain.records import TaskSpec
from taskrun.domain.retry import MAX_REJECTIONS
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.testing.simulation import Simulation

GPU = (("gpu", "yes"),)
ROOM = Heartbeat(WorkerStatus.IDLE, 0, 1)


def runs_of(sim: Simulation, session: int) -> list[AssignRun]:
    return [message for message in sim.heard(session) if isinstance(message, AssignRun)]


def test_an_assignment_carries_all_that_the_worker_needs(sim: Simulation) -> None:
    session = sim.connect("w1")
    task = sim.create(labels={"k": "v"}, timeout_ms=7000)
    [run] = task.runs
    assert (run.worker_id, run.status, run.attempt, run.assigned_at_ms) == (
        "w1",
        RunStatus.ASSIGNED,
        1,
        sim.now.utc_ms,
    )
    assert sim.assigned(session) == AssignRun(run.id, task.id, "echo", "1", {"k": "v"}, 1, sim.now.utc_ms, 7000)


def test_a_task_created_with_no_free_worker_is_dispatched_the_moment_one_fits(sim: Simulation) -> None:
    task = sim.create()
    sim.wait(2)
    session = sim.connect()
    assert sim.assigned(session).task_id == task.id
    assert sim.task(task.id).status is TaskStatus.RUNNING
    [assigned] = sim.happened(RunAssigned)
    assert assigned.waited_ms == 2000


def test_tasks_wait_when_all_slots_are_taken_and_go_out_as_slots_become_free(sim: Simulation) -> None:
    session = sim.connect(slots=1)
    first, second = sim.create(), sim.create()
    assert sim.assigned(session).task_id == first.id
    assert sim.task(second.id).status is TaskStatus.PENDING
    sim.report(session, first.runs[0].id, RunStatus.COMPLETED)
    assert sim.assigned(session).task_id == second.id


def test_higher_priority_goes_first_then_the_older(sim: Simulation) -> None:
    old, young, urgent = sim.create(), sim.create(), sim.create(priority=1)
    session = sim.connect(slots=3)
    assert [run.task_id for run in runs_of(sim, session)] == [urgent.id, old.id, young.id]


def test_a_task_that_is_tried_again_keeps_its_age(sim: Simulation) -> None:
    lost = sim.connect(slots=1)
    first, second = sim.create(), sim.create()
    sim.vanish(lost)
    session = sim.connect(slots=2)
    assert [run.task_id for run in runs_of(sim, session)] == [first.id, second.id]


def test_a_worker_gets_only_the_agents_it_offers(sim: Simulation) -> None:
    session = sim.connect(agents=("other",))
    task = sim.create("echo")
    assert runs_of(sim, session) == []
    assert sim.task(task.id).status is TaskStatus.PENDING


def test_a_selector_chooses_workers_by_their_labels(sim: Simulation) -> None:
    plain = sim.connect("plain")
    wrong = sim.connect("wrong", labels={"gpu": "no"})
    task = sim.create(selector=GPU)
    assert runs_of(sim, plain) + runs_of(sim, wrong) == []
    right = sim.connect("right", labels={"gpu": "yes", "zone": "a"})
    assert sim.assigned(right).task_id == task.id


def test_the_least_loaded_worker_gets_the_next_task(sim: Simulation) -> None:
    sessions = [sim.connect(f"w{n}") for n in range(3)]
    sim.create_all(*[TaskSpec("echo", "1")] * 6)
    assert [len(runs_of(sim, session)) for session in sessions] == [2, 2, 2]


def test_no_worker_gets_more_than_it_takes_whatever_it_says_of_its_active_runs(sim: Simulation) -> None:
    """The count of the control plane stands, not that of a stale heartbeat."""
    session = sim.connect(slots=2)
    sim.create_all(*[TaskSpec("echo", "1")] * 5)
    sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 2))
    assert len(runs_of(sim, session)) == 2
    assert sim.core.workers()[0].active_runs == 2


def test_a_heartbeat_with_more_slots_brings_more_runs_and_one_with_fewer_takes_none_away(sim: Simulation) -> None:
    session = sim.connect(slots=1)
    tasks = sim.create_all(*[TaskSpec("echo", "1")] * 4)
    sim.say(session, Heartbeat(WorkerStatus.BUSY, 1, 2))
    first, _ = runs_of(sim, session)
    sim.say(session, Heartbeat(WorkerStatus.BUSY, 2, 1))
    sim.report(session, first.run_id, RunStatus.COMPLETED)
    assert runs_of(sim, session) == []
    assert [sim.task(task.id).status for task in tasks].count(TaskStatus.RUNNING) == 1


def test_a_task_claimed_for_a_worker_that_vanished_meanwhile_goes_to_another(sim: Simulation) -> None:
    task = sim.create()
    first = sim.connect("w1", slots=0)
    second = sim.connect("w2", slots=0)
    sim.turn(WorkerSpoke(first, [ROOM]))
    assert sim.store.claimed == {task.id}
    sim.turn(WorkerGone(first), WorkerSpoke(second, [ROOM]), overtake=True)
    sim.settle()
    assert sim.assigned(second).task_id == task.id


def test_a_task_claimed_for_nobody_who_is_left_waits_again_and_its_story_says_nothing_of_it(sim: Simulation) -> None:
    task = sim.create()
    session = sim.connect(slots=0)
    sim.turn(WorkerSpoke(session, [ROOM]))
    sim.turn(WorkerGone(session), overtake=True)
    sim.settle()
    assert sim.task(task.id) == task
    assert len(sim.story(task.id)) == 1
    assert sim.assigned(sim.connect("w2")).task_id == task.id


def test_a_draining_worker_finishes_its_runs_and_gets_no_new_ones(sim: Simulation) -> None:
    session = sim.connect()
    [run] = sim.create().runs
    sim.say(session, Heartbeat(WorkerStatus.DRAINING, 1, 10))
    sim.heard(session)
    waiting = sim.create()
    sim.report(session, run.id, RunStatus.COMPLETED)
    assert runs_of(sim, session) == []
    assert sim.core.workers()[0].status is WorkerStatus.DRAINING
    sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 10))
    assert sim.assigned(session).task_id == waiting.id


def test_a_worker_in_error_gets_nothing_until_it_is_well(sim: Simulation) -> None:
    session = sim.connect()
    sim.say(session, Heartbeat(WorkerStatus.ERROR, 0, 10))
    sim.create()
    assert runs_of(sim, session) == []
    sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 10))
    assert len(runs_of(sim, session)) == 1


def test_a_worker_that_refused_a_run_is_offered_none_before_its_next_heartbeat(sim: Simulation) -> None:
    session = sim.connect()
    [run] = sim.create(max_attempts=1).runs
    sim.heard(session)
    sim.report(session, run.id, RunStatus.FAILED, FailureKind.REJECTED)
    assert runs_of(sim, session) == []
    sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 10))
    again = sim.assigned(session)
    assert (again.attempt, again.run_id != run.id) == (1, True)


def test_a_run_that_one_worker_refused_goes_to_another_at_once(sim: Simulation) -> None:
    first = sim.connect("w1")
    [run] = sim.create().runs
    second = sim.connect("w2")
    sim.report(first, run.id, RunStatus.FAILED, FailureKind.REJECTED)
    assert sim.assigned(second).task_id


def test_the_slots_are_told_when_they_change(sim: Simulation) -> None:
    session = sim.connect(slots=3)
    sim.create()
    sim.vanish(session)
    assert [(slots.taken, slots.free) for slots in sim.happened(SlotsChanged)] == [(0, 3), (1, 2), (0, 0)]


def test_the_slots_of_a_worker_that_drains_are_free_for_nobody(sim: Simulation) -> None:
    session = sim.connect(slots=3)
    sim.create()
    sim.say(session, Heartbeat(WorkerStatus.DRAINING, 1, 3))
    last = sim.happened(SlotsChanged)[-1]
    assert (last.taken, last.free) == (1, 0)


def test_a_task_is_not_overtaken_by_a_newer_one_of_its_kind_that_comes_when_a_slot_is_free(sim: Simulation) -> None:
    session = sim.connect(slots=1)
    [run] = sim.create().runs
    old = sim.create()
    sim.heard(session)
    sim.turn(
        WorkerSpoke(session, [RunReport(run.id, RunStatus.COMPLETED)]),
        CreateTask("new", TaskSpec("echo", "1"), "client:me"),
    )
    sim.settle()
    assert sim.assigned(session).task_id == old.id


def test_a_slot_that_becomes_free_goes_to_who_has_priority_and_not_to_who_just_came(sim: Simulation) -> None:
    session = sim.connect(agents=("a", "b"), slots=1)
    [run] = sim.create("a").runs
    urgent = sim.create("b", priority=1000)
    sim.heard(session)
    sim.turn(
        WorkerSpoke(session, [RunReport(run.id, RunStatus.COMPLETED)]),
        CreateTask("new", TaskSpec("a", "1", priority=-1000), "client:me"),
    )
    sim.settle()
    assert sim.assigned(session).task_id == urgent.id


def test_tasks_that_waited_are_shared_out_among_the_workers_that_come(sim: Simulation) -> None:
    for _ in range(10):
        sim.create()
    joining = [ConnectWorker(f"r{n}", 100 + n, f"w{n}", sim.hello("echo")) for n in range(5)]
    sim.turn(*joining)
    sim.settle()
    assert [len(runs_of(sim, worker.session)) for worker in joining] == [2] * 5


def test_a_worker_that_does_not_start_its_runs_gets_no_more_before_it_says_something_of_them(sim: Simulation) -> None:
    wedged = sim.connect("w1")
    [run] = sim.create().runs
    good = sim.connect("w2")
    sim.heard(wedged)
    sim.wait(30)
    for _ in range(2):
        sim.create()
        assert runs_of(sim, wedged) == []
        for session in (wedged, good):
            sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 10))
        sim.wait(15)
    assert len(runs_of(sim, good)) == 3
    sim.report(wedged, run.id, RunStatus.RUNNING)
    sim.create()
    assert len(runs_of(sim, wedged)) == 1


def test_workers_that_turn_everything_away_do_not_keep_a_task_for_ever(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create(max_attempts=1)
    for _ in range(MAX_REJECTIONS):
        sim.report(session, sim.task(task.id).runs[-1].id, RunStatus.FAILED, FailureKind.REJECTED)
        sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 10))
    ended = sim.task(task.id)
    assert (ended.status, len(ended.runs)) == (TaskStatus.FAILED, MAX_REJECTIONS)
    assert ended.runs[-1].failure is FailureKind.REJECTED
