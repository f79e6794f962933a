"""Runs outlive the stream they began on: workers come back to them, and so does a control plane that begins anew."""

from __future__ import annotations

import pytest

from taskrun.domain.control_plane.fleet import MANY_MESSAGES
from taskrun.domain.control_plane.inputs import DrainStarted, WorkerSpoke
from taskrun.domain.errors import PermissionDenied, Unavailable
from taskrun.domain.events import MessageRefused
from taskrun.domain.protocol import (
    FEATURES,
    RESUME,
    TOLD_AFTER,
    AssignRun,
    CancelRun,
    Heartbeat,
    HeartbeatAck,
    HelloAck,
    LiveRun,
    RunDirective,
    RunReport,
    Stored,
    ToWorker,
)
from taskrun.domain.records import OutputSegment, Run, RunEvent, Task
from taskrun.domain.status import FailureKind, RunEventType, RunStatus, TaskStatus, Verdict, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import OLD, Simulation


class Resuming:
    """One worker whose runs outlive its stream, with one run that it has begun."""

    def __init__(self, sim: Simulation, *, begun: bool = True) -> None:
        self.sim = sim
        self.session = sim.connect("w1", process="p1", slots=2)
        self.task_id = sim.create().id
        self.run_id = self.run.id
        if begun:
            sim.say(self.session, RunReport(self.run_id, RunStatus.RUNNING, seq=0))
        sim.heard(self.session)

    @property
    def task(self) -> Task:
        return self.sim.task(self.task_id)

    @property
    def run(self) -> Run:
        """The task's last."""
        return self.task.runs[-1]

    def text(self, seq: int, *contents: str) -> None:
        self.sim.say(self.session, OutputSegment(self.run_id, seq, contents))

    def vanish(self) -> None:
        self.sim.vanish(self.session)

    def come_back(self, *live_runs: LiveRun) -> list[ToWorker]:
        """On a new stream; what is said on it first."""
        self.session = self.sim.connect("w1", process="p1", slots=2, live_runs=live_runs)
        return self.sim.heard(self.session)

    def ack(self, *directives: RunDirective) -> HelloAck:
        return HelloAck("w1", frozenset(FEATURES), directives, grace_ms=120_000)


@pytest.fixture
def worker(sim: Simulation) -> Resuming:
    return Resuming(sim)


def test_a_hello_that_arrives_after_that_of_a_newer_stream_is_turned_away(sim: Simulation) -> None:
    session = sim.connect("w1", process="p1", stream=2)
    task = sim.create()
    sim.report(session, sim.assigned(session).run_id, RunStatus.RUNNING)
    with pytest.raises(Unavailable, match="newer stream"):
        sim.connect("w1", process="p1", stream=1)
    assert session not in sim.closed
    assert sim.task(task.id).status is TaskStatus.RUNNING
    assert sim.connect("w1", process="p1", stream=3, live_runs=[LiveRun(task.runs[0].id, 1)])
    assert sim.task(task.id).status is TaskStatus.RUNNING


# Away.


def test_a_worker_whose_stream_breaks_is_disconnected_and_keeps_its_runs(worker: Resuming) -> None:
    worker.vanish()
    worker.sim.wait(119)
    assert worker.sim.core.workers()[0].status is WorkerStatus.DISCONNECTED
    assert worker.run.status is RunStatus.RUNNING


def test_after_its_grace_a_worker_is_lost_and_its_runs_go_to_others(worker: Resuming) -> None:
    worker.vanish()
    worker.sim.wait(120)
    assert worker.sim.core.workers() == []
    assert (worker.task.status, worker.run.failure) == (TaskStatus.PENDING, FailureKind.WORKER_LOST)


def test_the_grace_begins_with_the_last_contact_not_with_the_end_of_the_stream(worker: Resuming) -> None:
    worker.sim.wait(44)
    worker.vanish()
    worker.sim.wait(76)
    assert worker.sim.core.workers() == []


def test_without_a_grace_a_worker_is_lost_with_its_stream(sim: Simulation) -> None:
    sim.timers = ControlPlaneTimers(grace=0.0)
    sim.restart()
    worker = Resuming(sim)
    worker.vanish()
    assert worker.task.status is TaskStatus.PENDING


@pytest.mark.parametrize(("features", "process"), [(OLD, "p1"), (frozenset(FEATURES), "")])
def test_the_runs_of_a_worker_that_does_not_resume_are_lost_with_its_stream(
    sim: Simulation, features: frozenset[str], process: str
) -> None:
    session = sim.connect(features=features, process=process)
    task = sim.create()
    sim.vanish(session)
    assert sim.task(task.id).status is TaskStatus.PENDING
    assert sim.core.workers() == []


def test_a_worker_that_drained_and_has_no_run_is_not_waited_for(sim: Simulation) -> None:
    session = sim.connect(process="p1")
    sim.say(session, Heartbeat(WorkerStatus.DRAINING, 0, 2))
    sim.vanish(session)
    assert sim.core.workers() == []


def test_a_worker_that_is_away_is_given_nothing(worker: Resuming) -> None:
    worker.vanish()
    assert worker.sim.create().status is TaskStatus.PENDING


def test_a_cancel_ends_the_task_of_a_worker_that_is_away(worker: Resuming) -> None:
    worker.vanish()
    worker.sim.cancel(worker.task_id)
    worker.sim.wait(15)
    assert worker.task.status is TaskStatus.CANCELLED
    assert 0 not in worker.sim.sent


def test_a_run_of_a_worker_that_is_away_need_not_start(sim: Simulation) -> None:
    worker = Resuming(sim, begun=False)
    worker.vanish()
    sim.wait(100)
    assert worker.run.status is RunStatus.ASSIGNED


# Coming back.


def test_a_live_run_goes_on_with_what_is_not_stored_yet(worker: Resuming) -> None:
    worker.text(1, "a", "b")
    worker.vanish()
    assert worker.come_back(LiveRun(worker.run_id, 9)) == [worker.ack(RunDirective(worker.run_id, Verdict.GO_ON, 3))]
    assert worker.sim.core.workers()[0].status is WorkerStatus.BUSY
    worker.sim.say(worker.session, RunReport(worker.run_id, RunStatus.COMPLETED, seq=3))
    assert worker.task.status is TaskStatus.COMPLETED
    assert len(worker.task.runs) == 1


def test_a_worker_that_came_back_is_not_lost_when_its_grace_would_have_been_over(worker: Resuming) -> None:
    worker.vanish()
    worker.come_back(LiveRun(worker.run_id, 1))
    for _ in range(5):
        worker.sim.wait(30)
        worker.sim.say(worker.session, Heartbeat(WorkerStatus.BUSY, 1, 2))
    assert worker.run.status is RunStatus.RUNNING


def test_a_worker_comes_back_before_its_old_stream_is_known_to_be_broken(worker: Resuming) -> None:
    old = worker.session
    worker.come_back(LiveRun(worker.run_id, 1))
    assert isinstance(worker.sim.closed[old], Unavailable)
    assert worker.run.status is RunStatus.RUNNING
    worker.sim.vanish(old)
    assert worker.sim.core.workers()[0].status is WorkerStatus.BUSY


def test_a_running_run_that_is_not_brought_along_is_lost(worker: Resuming) -> None:
    worker.vanish()
    worker.come_back()
    assert [run.failure for run in worker.task.runs] == [FailureKind.WORKER_LOST, None]
    assert worker.task.runs[0].error == "the worker came back without the run"


def test_an_assignment_that_did_not_arrive_is_sent_again_and_has_its_whole_time(sim: Simulation) -> None:
    worker = Resuming(sim, begun=False)
    sim.wait(29)
    worker.vanish()
    _, order = worker.come_back()
    assert isinstance(order, AssignRun)
    assert (order.run_id, order.attempt) == (worker.run_id, 1)
    sim.wait(29)
    assert worker.run.status is RunStatus.ASSIGNED


def test_an_assignment_that_did_arrive_is_not_sent_again(sim: Simulation) -> None:
    worker = Resuming(sim, begun=False)
    worker.vanish()
    assert worker.come_back(LiveRun(worker.run_id, 1)) == [worker.ack(RunDirective(worker.run_id, Verdict.GO_ON, 0))]


def test_what_was_to_stop_is_told_so_again(worker: Resuming) -> None:
    worker.vanish()
    worker.sim.cancel(worker.task_id)
    _, order = worker.come_back(LiveRun(worker.run_id, 1))
    assert order == CancelRun(worker.run_id, "the task was cancelled")


def test_a_run_that_ended_without_its_worker_is_to_stop_and_frees_its_slot(worker: Resuming) -> None:
    worker.vanish()
    worker.sim.cancel(worker.task_id)
    worker.sim.wait(15)
    [ack] = worker.come_back(LiveRun(worker.run_id, 1))
    assert ack == worker.ack(RunDirective(worker.run_id, Verdict.STOP))
    assert worker.sim.core.workers()[0].active_runs == 0


def test_a_run_of_another_worker_is_to_stop(worker: Resuming) -> None:
    sim = worker.sim
    session = sim.connect("w2", process="p2", live_runs=[LiveRun(worker.run_id, 3)])
    [ack] = sim.heard(session)
    assert isinstance(ack, HelloAck)
    assert ack.directives == (RunDirective(worker.run_id, Verdict.STOP),)


def test_a_run_that_nobody_knows_is_unknown(worker: Resuming) -> None:
    worker.vanish()
    [ack] = worker.come_back(LiveRun(worker.run_id, 1), LiveRun("other", 3))
    assert isinstance(ack, HelloAck)
    assert ack.directives[1] == RunDirective("other", Verdict.UNKNOWN)


def test_the_old_stream_speaks_for_no_run_any_more(worker: Resuming) -> None:
    old = worker.session
    worker.vanish()
    worker.come_back(LiveRun(worker.run_id, 1))
    worker.sim.say(old, RunReport(worker.run_id, RunStatus.COMPLETED, seq=1))
    assert worker.run.status is RunStatus.RUNNING


# Another process.


@pytest.mark.parametrize("away", [False, True])
def test_the_runs_of_another_process_of_the_same_worker_are_lost(worker: Resuming, away: bool) -> None:
    sim, old = worker.sim, worker.session
    if away:
        worker.vanish()
    new = sim.connect("w1", process="p2")
    assert isinstance(sim.closed.get(old), type(None) if away else PermissionDenied)
    assert [run.failure for run in worker.task.runs] == [FailureKind.WORKER_LOST, None]
    assert sim.assigned(new).attempt == 2


def test_an_old_program_that_takes_the_place_of_a_resuming_one_has_none_of_its_runs(worker: Resuming) -> None:
    worker.vanish()
    session = worker.sim.connect("w1", features=OLD, process="p1")
    [ack, _] = worker.sim.heard(session)
    assert ack == HelloAck("w1", frozenset(FEATURES) - {RESUME})
    assert worker.task.runs[0].failure is FailureKind.WORKER_LOST


# A control plane that begins anew.


def test_after_a_restart_a_worker_comes_back_to_its_run_and_goes_on(worker: Resuming) -> None:
    worker.text(1, "a")
    worker.sim.restart()
    worker.sim.wait(100)
    assert worker.sim.core.workers()[0].status is WorkerStatus.DISCONNECTED
    assert worker.come_back(LiveRun(worker.run_id, 5)) == [worker.ack(RunDirective(worker.run_id, Verdict.GO_ON, 2))]
    worker.text(2, "b")
    bodies = [entry.body for entry in worker.sim.story(worker.task_id)]
    assert [body.contents for body in bodies if isinstance(body, OutputSegment)] == [("a",), ("b",)]


def test_after_a_restart_a_worker_that_does_not_come_back_is_lost_after_its_grace(worker: Resuming) -> None:
    worker.sim.restart()
    worker.sim.wait(119)
    assert worker.run.status is RunStatus.RUNNING
    worker.sim.wait(1)
    assert worker.run.failure is FailureKind.WORKER_LOST


def test_a_restart_gives_all_runs_of_one_worker_back_to_it(sim: Simulation) -> None:
    worker = Resuming(sim)
    second = sim.create()
    sim.restart()
    assert sim.core.workers()[0].active_runs == 2
    acks = worker.come_back(LiveRun(worker.run_id, 1))
    assert [message.run_id for message in acks if isinstance(message, AssignRun)] == [second.runs[0].id]


def test_a_cancel_of_before_a_restart_is_told_to_the_worker_that_comes_back(worker: Resuming) -> None:
    worker.sim.cancel(worker.task_id)
    worker.sim.restart()
    _, order = worker.come_back(LiveRun(worker.run_id, 1))
    assert order == CancelRun(worker.run_id, "the task was cancelled")


def test_what_said_nothing_worth_keeping_is_not_asked_for_after_a_restart(worker: Resuming) -> None:
    worker.text(1, "")
    worker.sim.say(worker.session, RunReport(worker.run_id, RunStatus.RUNNING, seq=2))
    worker.sim.restart()
    [ack] = worker.come_back(LiveRun(worker.run_id, 3))
    assert ack == worker.ack(RunDirective(worker.run_id, Verdict.GO_ON, 3))


def test_what_a_run_may_still_say_is_remembered_over_a_restart(worker: Resuming) -> None:
    worker.text(1, "abc")
    kept = worker.run.kept_bytes
    assert kept > 0
    worker.sim.restart()
    worker.come_back(LiveRun(worker.run_id, 2))
    worker.text(2, "abc")
    assert worker.run.kept_bytes == 2 * kept


# What is said twice, or not at all.


def test_words_that_are_said_again_are_dropped(worker: Resuming) -> None:
    sim, event = worker.sim, RunEvent(worker.run_id, RunEventType.TOOL_REQUESTED, seq=1)
    sim.say(worker.session, event, OutputSegment(worker.run_id, 2, ("a", "b")))
    sim.say(worker.session, RunReport(worker.run_id, RunStatus.RUNNING, seq=0), event)
    sim.say(worker.session, OutputSegment(worker.run_id, 2, ("a", "b", "c")))
    bodies = [entry.body for entry in sim.story(worker.task_id)[3:]]
    assert bodies == [event, OutputSegment(worker.run_id, 2, ("a", "b")), OutputSegment(worker.run_id, 4, ("c",))]


def test_a_gap_is_asked_for_again_once_and_nothing_is_kept_until_it_is_filled(worker: Resuming) -> None:
    sim = worker.sim
    worker.text(2, "b")
    sim.say(worker.session, RunReport(worker.run_id, RunStatus.COMPLETED, seq=3))
    assert [message for message in sim.heard(worker.session) if isinstance(message, RunDirective)] == [
        RunDirective(worker.run_id, Verdict.GO_ON, 1)
    ]
    assert [refused.what for refused in sim.happened(MessageRefused)] == ["gap"]
    assert worker.run.status is RunStatus.RUNNING
    worker.text(1, "a", "b")
    sim.say(worker.session, RunReport(worker.run_id, RunStatus.COMPLETED, seq=3))
    assert worker.task.status is TaskStatus.COMPLETED


def test_a_second_gap_is_asked_for_too(worker: Resuming) -> None:
    worker.text(2, "b")
    worker.text(1, "a")
    worker.text(5, "e")
    directives = [message for message in worker.sim.heard(worker.session) if isinstance(message, RunDirective)]
    assert [directive.from_seq for directive in directives] == [1, 2]


def test_numbers_of_a_worker_that_does_not_resume_are_not_looked_at(sim: Simulation) -> None:
    session = sim.connect()
    task = sim.create()
    sim.say(session, RunReport(task.runs[0].id, RunStatus.COMPLETED, seq=7))
    assert sim.task(task.id).status is TaskStatus.COMPLETED


def test_who_speaks_of_a_run_that_is_not_its_own_is_told_to_stop_it(worker: Resuming) -> None:
    worker.sim.say(worker.session, OutputSegment("other", 0, ("a",)))
    assert RunDirective("other", Verdict.STOP) in worker.sim.heard(worker.session)


# What is stored.


def test_what_is_stored_is_told_with_whatever_else_is_said(worker: Resuming) -> None:
    sim = worker.sim
    worker.text(1, "a")
    assert sim.heard(worker.session) == []
    sim.say(worker.session, Heartbeat(WorkerStatus.BUSY, 1, 2, 7))
    assert sim.heard(worker.session) == [HeartbeatAck(7), Stored(3)]


def test_who_says_much_is_told_although_there_is_nothing_else_to_say(worker: Resuming) -> None:
    sim = worker.sim
    for seq in range(1, MANY_MESSAGES):
        worker.text(seq, "a")
    assert sim.heard(worker.session) == [Stored(MANY_MESSAGES)]
    sim.turn(WorkerSpoke(worker.session, [Heartbeat(WorkerStatus.BUSY, 1, 2, 7)]))
    sim.heard(worker.session)
    sim.turn(WorkerSpoke(worker.session, [OutputSegment(worker.run_id, MANY_MESSAGES, ("a",))], TOLD_AFTER))
    assert sim.heard(worker.session) == [Stored(MANY_MESSAGES + 2)]


def test_messages_are_counted_anew_on_each_stream(worker: Resuming) -> None:
    worker.vanish()
    worker.come_back(LiveRun(worker.run_id, 1))
    worker.sim.say(worker.session, Heartbeat(WorkerStatus.BUSY, 1, 2, 7))
    assert worker.sim.heard(worker.session)[-1] == Stored(1)


def test_a_worker_that_does_not_resume_is_told_nothing_of_the_store(sim: Simulation) -> None:
    session = sim.connect()
    sim.heard(session)
    sim.say(session, Heartbeat(WorkerStatus.IDLE, 0, 2, 7))
    assert sim.heard(session) == [HeartbeatAck(7)]


def test_a_stream_that_is_cut_is_told_nothing_of_the_store(worker: Resuming) -> None:
    worker.sim.say(worker.session, worker.sim.hello("echo"))
    assert Stored(2) not in worker.sim.heard(worker.session)


def test_a_control_plane_that_goes_tells_what_is_stored_so_that_nobody_waits_for_it(sim: Simulation) -> None:
    worker = Resuming(sim)
    worker.text(1, "a")
    assert sim.heard(worker.session) == []
    sim.turn(DrainStarted())
    assert sim.heard(worker.session) == [Stored(2)]
    sim.turn(DrainStarted())
    assert sim.heard(worker.session) == []
