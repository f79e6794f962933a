"""Follow-ups that wait for the worker that has their session, when that worker is gone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, permutations

import pytest

from taskrun.domain.batch import Answer, ClaimStranded, StrandedClaimed
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.control_plane.inputs import (
    ConnectWorker,
    ContinueTask,
    Input,
    RosterSeen,
    WorkerElsewhere,
    WorkerExpelled,
    WorkerGone,
)
from taskrun.domain.control_plane.overruling import overrule
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.events import TaskMoved
from taskrun.domain.now import Now
from taskrun.domain.protocol import FEATURES, Heartbeat, Hello, RunReport
from taskrun.domain.records import (
    WORKER_LABEL,
    AgentSpec,
    Continuation,
    Task,
    TaskChange,
    TaskSpec,
    WorkerInfo,
)
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.testing.simulation import Simulation

GRACE = ControlPlaneTimers().grace
AT_W1 = ((WORKER_LABEL, "w1"),)


class Waiting:
    """A follow-up of a task that has ended, which waits for the one slot of the worker that has its session."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.session = self.connect()
        self.before = sim.create().id
        self.end(sim.assigned(self.session).run_id)
        self.busy = sim.create().id
        self.run_id = sim.assigned(self.session).run_id
        sim.report(self.session, self.run_id, RunStatus.RUNNING)
        self.id = self.follow_up()
        assert self.task.status is TaskStatus.PENDING

    def connect(self, process: str = "p1", *, slots: int = 1) -> int:
        return self.sim.connect("w1", process=process, slots=slots)

    def end(self, run_id: str) -> None:
        self.sim.say(self.session, RunReport(run_id, RunStatus.COMPLETED, session_id="s-1", seq=0))

    def follow_up(self) -> str:
        task = self.sim.answer(self.sim.say_more(self.before))
        assert task is not None
        return task.id

    @property
    def task(self) -> Task:
        return self.sim.task(self.id)

    @property
    def waits(self) -> bool:
        return self.task.status is TaskStatus.PENDING

    def assert_failed(self) -> None:
        task = self.task
        assert (task.status, task.failure) == (TaskStatus.FAILED, FailureKind.WORKER_LOST)
        assert task.error == (
            f"the worker w1 is gone, and only it has the session of task {self.before}, which the task goes on with"
        )
        assert task.finished_at_ms == self.sim.now.utc_ms


@pytest.fixture
def waiting(sim: Simulation) -> Waiting:
    return Waiting(sim)


def lose(waiting: Waiting) -> None:
    waiting.sim.vanish(waiting.session)
    waiting.sim.wait(GRACE - 0.1)
    assert waiting.waits
    waiting.sim.wait(0.1)


def expel(waiting: Waiting) -> None:
    waiting.sim.turn(WorkerExpelled("w1"))
    waiting.sim.settle()


def expel_while_away(waiting: Waiting) -> None:
    waiting.sim.vanish(waiting.session)
    expel(waiting)


def leave(waiting: Waiting) -> None:
    waiting.sim.say(waiting.session, Heartbeat(WorkerStatus.DRAINING, 1, 1))
    waiting.sim.report(waiting.session, waiting.run_id, RunStatus.COMPLETED)
    assert waiting.waits
    waiting.sim.vanish(waiting.session)


@pytest.mark.parametrize("go", [lose, expel, expel_while_away, leave])
def test_a_follow_up_fails_at_once_when_the_worker_with_its_session_is_gone(
    waiting: Waiting, go: Callable[[Waiting], None]
) -> None:
    go(waiting)
    waiting.assert_failed()
    change = TaskChange(TaskStatus.FAILED, failure=FailureKind.WORKER_LOST, error=waiting.task.error)
    assert waiting.sim.story(waiting.id)[-1].body == change
    assert waiting.sim.happened(TaskMoved)[-1] == TaskMoved(waiting.task, TaskStatus.PENDING, TaskStatus.FAILED)


def test_who_only_asks_for_that_worker_goes_on_waiting_for_it(waiting: Waiting) -> None:
    pinned = waiting.sim.create(selector=AT_W1).id
    lose(waiting)
    waiting.assert_failed()
    assert waiting.sim.task(pinned).status is TaskStatus.PENDING


def test_who_goes_on_with_another_worker_is_not_concerned(waiting: Waiting) -> None:
    session = waiting.sim.connect("w2", process="p2")
    waiting.sim.vanish(session)
    waiting.sim.turn(WorkerExpelled("w2"))
    waiting.sim.settle()
    assert waiting.waits


def test_many_fail_a_part_at_a_time(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskrun.domain.control_plane.stranding.AT_ONCE", 2)
    ids = [waiting.id, *(waiting.follow_up() for _ in range(4))]
    lose(waiting)
    assert {waiting.sim.task(id).failure for id in ids} == {FailureKind.WORKER_LOST}


def test_a_worker_that_is_lost_costs_one_question(waiting: Waiting) -> None:
    sim = waiting.sim
    sim.connect("w2", process="p2")
    turns = [sim.turn(WorkerExpelled("w2")), sim.turn(), sim.turn()]
    assert [len(turn.batch.asks) for turn in turns] == [1, 0, 0]
    assert turns[0].batch.asks == [ClaimStranded("w2", 100)]


def test_a_worker_that_begins_anew_still_has_its_sessions(waiting: Waiting) -> None:
    waiting.connect("p2", slots=5)
    assert waiting.task.status is TaskStatus.RUNNING


def test_a_worker_that_is_back_when_the_store_answers_gets_what_waits_for_it(waiting: Waiting) -> None:
    sim = waiting.sim
    sim.turn(WorkerExpelled("w1"))
    info = WorkerInfo(agents=(AgentSpec("echo"),))
    hello = Hello(info, frozenset(FEATURES), 5, process="p2")
    sim.turn(ConnectWorker("reply", 77, "w1", hello), overtake=True)
    sim.settle()
    assert waiting.task.status is TaskStatus.RUNNING


def test_one_that_has_waited_too_long_meanwhile_has_done_so(waiting: Waiting) -> None:
    sim = waiting.sim
    sim.turn(WorkerExpelled("w1"))
    sim.mono += 600
    info = WorkerInfo(agents=(AgentSpec("echo"),))
    sim.turn(ConnectWorker("reply", 77, "w1", Hello(info, frozenset(FEATURES), 5, process="p2")), overtake=True)
    sim.settle()
    assert waiting.task.failure is FailureKind.QUEUE_TIMEOUT


def test_a_follow_up_that_runs_when_its_worker_is_lost_has_nobody_to_try_it_again(waiting: Waiting) -> None:
    waiting.sim.report(waiting.session, waiting.run_id, RunStatus.COMPLETED)
    assert waiting.task.status is TaskStatus.RUNNING
    waiting.sim.vanish(waiting.session)
    waiting.sim.wait(GRACE)
    waiting.assert_failed()
    assert [run.failure for run in waiting.task.runs] == [FailureKind.WORKER_LOST]


def test_one_that_rests_when_its_worker_is_lost_fails_when_it_has_rested(sim: Simulation) -> None:
    sim.timers = ControlPlaneTimers(retry=60.0)
    sim.restart()
    session = sim.connect("w1", process="p1")
    before = sim.create(retry_on=frozenset({FailureKind.AGENT_ERROR}))
    sim.say(session, RunReport(sim.assigned(session).run_id, RunStatus.COMPLETED, session_id="s-1", seq=0))
    task = sim.answer(sim.say_more(before.id))
    assert task is not None
    for _ in range(2):
        failed = RunReport(sim.assigned(session).run_id, RunStatus.FAILED, failure=FailureKind.AGENT_ERROR, seq=0)
        sim.say(session, failed)
    assert sim.task(task.id).status is TaskStatus.PENDING
    sim.wait(GRACE)
    sim.turn(WorkerExpelled("w1"))
    sim.settle()
    sim.wait(60)
    assert sim.task(task.id).failure is FailureKind.WORKER_LOST


def test_one_that_is_made_after_its_worker_was_lost_fails_too(waiting: Waiting) -> None:
    """With a key the store is asked first, and the worker was there when the message came."""
    sim = waiting.sim
    sim.turn(ContinueTask("late", sim.task(waiting.before), "more", "client:test", key="k"))
    sim.turn(WorkerExpelled("w1"), overtake=True)
    sim.settle()
    late = sim.replies["late"]
    assert isinstance(late, Task)
    sim.wait(GRACE)
    assert sim.task(late.id).failure is FailureKind.WORKER_LOST


# A control plane that begins anew.


def rest_of(waiting: Waiting) -> None:
    """Only the follow-up is left when the control plane begins anew: of its worker nothing is known."""
    waiting.sim.vanish(waiting.session)
    waiting.sim.cancel(waiting.busy)
    waiting.sim.wait(15)
    waiting.sim.restart()
    assert waiting.sim.core.workers() == []


def test_after_a_restart_the_worker_has_the_time_to_come_back_that_any_has(waiting: Waiting) -> None:
    rest_of(waiting)
    waiting.sim.wait(GRACE - 0.1)
    assert waiting.waits
    waiting.connect("p1", slots=1)
    assert waiting.task.status is TaskStatus.RUNNING
    waiting.sim.wait(1)
    assert waiting.task.status is TaskStatus.RUNNING


def test_after_a_restart_a_worker_that_does_not_come_back_is_gone(waiting: Waiting) -> None:
    rest_of(waiting)
    waiting.sim.wait(GRACE)
    waiting.assert_failed()


def test_after_a_restart_a_worker_that_was_revoked_is_not_waited_for(waiting: Waiting) -> None:
    rest_of(waiting)
    expel(waiting)
    waiting.assert_failed()


def test_after_a_restart_others_do_not_fail(waiting: Waiting) -> None:
    pinned = waiting.sim.create(selector=AT_W1).id
    general = waiting.sim.create().id
    rest_of(waiting)
    waiting.sim.wait(10 * GRACE)
    assert {waiting.sim.task(id).status for id in (pinned, general)} == {TaskStatus.PENDING}


# One of several control planes.

FOLLOW_UP = Task(
    "t",
    TaskSpec("echo", "1", selector=AT_W1, continues=Continuation("t-0", "s")),
    TaskStatus.PENDING,
    "ann",
    1,
    next_seq=1,
)
NOBODY: frozenset[str] = frozenset()
THERE = frozenset({"w1"})


class Plane:
    """A core that is one of several, and its clock."""

    def __init__(self) -> None:
        numbers = count(1)
        self.core = ControlPlaneCore(ControlPlaneTimers(), lambda: f"id-{next(numbers)}", shared=True)
        self.mono = 0.0

    def turn(self, *inputs: Input | Answer) -> Turn:
        return self.core.handle(inputs, Now(self.mono, int(self.mono * 1000)))

    def asks(self, *inputs: Input | Answer) -> list[str]:
        """The workers whose follow-ups are asked for in this turn."""
        asks = self.turn(*inputs).batch.asks
        return [ask.worker_id for ask in asks if isinstance(ask, ClaimStranded)]

    def connect(self) -> None:
        info = WorkerInfo(agents=(AgentSpec("echo"),))
        self.turn(ConnectWorker(1, 1, "w1", Hello(info, frozenset(FEATURES), 5, "", "p")))


@pytest.fixture
def plane() -> Plane:
    return Plane()


def test_before_it_knows_the_workers_of_the_others_nobody_is_gone(plane: Plane) -> None:
    assert plane.asks(WorkerExpelled("w1")) == []
    assert plane.core.next_deadline() is None
    assert plane.asks(RosterSeen(NOBODY)) == ["w1"]


def test_a_worker_that_others_have_is_not_gone(plane: Plane) -> None:
    assert plane.asks(RosterSeen(THERE), WorkerExpelled("w1")) == []
    plane.connect()
    assert plane.asks(WorkerElsewhere("w1"), WorkerGone(1), WorkerElsewhere("w1")) == []


def test_a_worker_that_is_lost_here_is_gone_at_once(plane: Plane) -> None:
    plane.turn(RosterSeen(NOBODY))
    plane.connect()
    plane.turn(WorkerGone(1))
    plane.mono = GRACE
    assert plane.asks() == ["w1"]


def test_a_worker_that_vanishes_with_its_control_plane_has_the_time_to_come(plane: Plane) -> None:
    plane.turn(RosterSeen(THERE))
    assert plane.asks(RosterSeen(NOBODY)) == []
    plane.mono = GRACE - 1
    assert plane.asks(RosterSeen(NOBODY)) == []
    plane.mono = GRACE
    assert plane.core.next_deadline() == GRACE
    assert plane.asks() == ["w1"]


@pytest.mark.parametrize("here", [True, False])
def test_one_that_has_come_by_then_is_not_gone(plane: Plane, here: bool) -> None:
    plane.turn(RosterSeen(THERE))
    plane.turn(RosterSeen(NOBODY))
    plane.mono = 100.0
    if here:
        plane.connect()
    else:
        plane.turn(RosterSeen(THERE))
    plane.mono = GRACE
    assert plane.asks() == []


@pytest.mark.parametrize("news", list(permutations((RosterSeen(NOBODY), WorkerExpelled("w1")))))
def test_one_that_was_revoked_meanwhile_is_gone_at_once(plane: Plane, news: tuple[Input, ...]) -> None:
    plane.turn(RosterSeen(THERE))
    assert plane.asks(*news) == ["w1"]


def test_one_that_somebody_was_told_is_cancelled_is_cancelled(plane: Plane) -> None:
    plane.turn(RosterSeen(NOBODY))
    turn = plane.turn(StrandedClaimed(ClaimStranded("w1", 100), (FOLLOW_UP,)))
    assert turn.batch.tasks["t"].failure is FailureKind.WORKER_LOST
    overrule(turn, ["t"])
    task = turn.batch.tasks["t"]
    assert (task.status, task.failure, task.error) == (TaskStatus.CANCELLED, None, "")
    assert turn.events == [TaskMoved(task, TaskStatus.PENDING, TaskStatus.CANCELLED)]
