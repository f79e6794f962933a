"""Other control planes on the same store: what is taken over from them, and what is left to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from taskrun.domain.batch import (
    Answer,
    CancelRelayed,
    ClaimExpired,
    ClaimNext,
    ClaimRuns,
    ClaimTask,
    Disowned,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    RelayCancel,
    RunsClaimed,
    TaskClaimed,
    TasksClaimed,
)
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.control_plane.inputs import (
    CancelTask,
    CancelWanted,
    ConnectWorker,
    CreateTask,
    DrainStarted,
    Input,
    QueueGrew,
    QueueSeen,
    TasksInherited,
    WorkerElsewhere,
    WorkerGone,
    WorkerSpoke,
)
from taskrun.domain.control_plane.overruling import overrule
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import FailedPrecondition, NotFound, TaskRunError
from taskrun.domain.events import RunAssigned, RunEnded, TaskExpired, TaskMoved, TaskRequeued
from taskrun.domain.now import Now
from taskrun.domain.protocol import RESUME, AssignRun, CancelRun, Hello, HelloAck, LiveRun, RunReport
from taskrun.domain.records import AgentSpec, Requirement, Run, Task, TaskChange, TaskSpec, WorkerInfo
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, Verdict, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers

RUN = Run("run-1", "w", RunStatus.RUNNING, 1, 1, 2, process="p", next_seq=7)
TASK = Task("t", TaskSpec("echo", "1"), TaskStatus.RUNNING, "ann", 1, (RUN,), next_seq=3)
GRACE = ControlPlaneTimers().grace


class Plane:
    """A core that is one of several, and its clock."""

    def __init__(self) -> None:
        numbers = count(1)
        self.core = ControlPlaneCore(ControlPlaneTimers(), lambda: f"id-{next(numbers)}", shared=True)
        self.mono = 0.0

    def turn(self, *inputs: Input | Answer) -> Turn:
        return self.core.handle(inputs, Now(self.mono, int(self.mono * 1000)))

    def connect(self, session: int, *live: str, process: str = "p") -> Turn:
        info = WorkerInfo(agents=(AgentSpec("echo"),))
        runs = tuple(LiveRun(run_id, 9) for run_id in live)
        return self.turn(ConnectWorker(session, session, "w", Hello(info, frozenset({RESUME}), 5, "", process, runs)))

    def status(self) -> WorkerStatus | None:
        view = self.core.worker("w")
        return view.status if view else None


@pytest.fixture
def plane() -> Plane:
    return Plane()


def directives(turn: Turn, session: int) -> dict[str, tuple[Verdict, int]]:
    """What the worker hears about its runs before anything else."""
    [first, *_] = turn.sends[session]
    assert isinstance(first, HelloAck)
    return {each.run_id: (each.verdict, each.from_seq) for each in first.directives}


def assigned(turn: Turn, session: int) -> list[AssignRun]:
    """The runs that a worker is given."""
    return [message for message in turn.sends[session] if isinstance(message, AssignRun)]


def test_a_worker_that_brings_runs_of_another_is_let_in_when_the_store_has_spoken(plane: Plane) -> None:
    turn = plane.connect(1, "run-1", "run-2")
    ask = ClaimRuns(1, "w")
    assert turn.batch.asks == [ask]
    assert (turn.replies, turn.sends, plane.status()) == ([], {}, None)
    turn = plane.turn(RunsClaimed(ask, (TASK,)))
    assert turn.replies == [(1, 1)]
    assert directives(turn, 1) == {"run-1": (Verdict.GO_ON, 7), "run-2": (Verdict.UNKNOWN, 0)}
    turn = plane.turn(WorkerSpoke(1, [RunReport("run-1", RunStatus.COMPLETED, seq=7)]))
    assert turn.batch.tasks["t"].status is TaskStatus.COMPLETED


def test_a_worker_that_brings_nothing_unknown_is_let_in_at_once(plane: Plane) -> None:
    plane.connect(1, "run-1")
    plane.turn(RunsClaimed(ClaimRuns(1, "w"), (TASK,)))
    turn = plane.connect(2, "run-1")
    assert directives(turn, 2) == {"run-1": (Verdict.GO_ON, 7)}
    assert turn.batch.asks == [ClaimRuns(2, "w")]
    assert plane.turn(RunsClaimed(ClaimRuns(2, "w"), ())).closes == []


def test_what_others_believe_that_it_has_and_it_has_not_is_lost(plane: Plane) -> None:
    plane.connect(1)
    turn = plane.turn(RunsClaimed(ClaimRuns(1, "w"), (TASK,)))
    [run, retry] = turn.batch.tasks["t"].runs
    assert (run.failure, run.error) == (
        FailureKind.WORKER_LOST,
        "the worker went to another control plane without the run",
    )
    assert (retry.worker_id, retry.status) == ("w", RunStatus.ASSIGNED)
    assert turn.closes == []


def test_what_is_inherited_while_its_worker_comes_goes_on_and_is_not_news_again(plane: Plane) -> None:
    ask = ClaimRuns(1, "w")
    plane.connect(1, "run-1")
    turn = plane.turn(RunsClaimed(ask, (TASK,), frozenset({"t"})))
    assert directives(turn, 1) == {"run-1": (Verdict.GO_ON, 7)}
    turn = plane.turn(WorkerSpoke(1, [RunReport("run-1", RunStatus.COMPLETED, seq=7)]))
    assert turn.batch.tasks["t"].status is TaskStatus.COMPLETED
    assert not plane.turn(TasksInherited([TASK])).batch.tasks
    # What is inherited once more is news.
    assert not plane.turn(TasksInherited([replace(TASK, runs=(replace(RUN, worker_id="v"),))])).batch.tasks
    assert plane.core.worker("v") is not None


def test_a_run_that_is_claimed_twice_at_once_is_lost_once(plane: Plane) -> None:
    plane.connect(1)
    asks = [ClaimRuns(1, "w"), ClaimRuns(2, "w")]
    turn = plane.turn(RunsClaimed(asks[0], (TASK,)), RunsClaimed(asks[1], (TASK,), frozenset({"t"})))
    assert len(turn.batch.tasks["t"].runs) == 2
    assert plane.turn(TasksInherited([replace(TASK, id="u")])).batch.tasks["u"].runs[0].failure is not None


def test_what_its_own_worker_brings_back_is_no_news(plane: Plane) -> None:
    plane.connect(1, "run-1")
    plane.turn(RunsClaimed(ClaimRuns(1, "w"), (TASK,)))
    plane.connect(2, "run-1")
    turn = plane.turn(RunsClaimed(ClaimRuns(2, "w"), (TASK,), frozenset({"t"})))
    assert (turn.batch.tasks, turn.closes) == ({}, [])


#: A run that its worker may not have heard of, of a task that has one attempt.
UNSTARTED = replace(RUN, status=RunStatus.ASSIGNED, started_at_ms=0, next_seq=0)
ONCE = replace(TASK, spec=TaskSpec("echo", "1", max_attempts=1), runs=(UNSTARTED,))


def only_run(task: Task) -> Run:
    [run] = task.runs
    return run


@pytest.mark.parametrize(
    "news",
    [RunsClaimed(ClaimRuns(1, "w"), (ONCE,)), TasksInherited([ONCE])],
    ids=["as it came", "as another died"],
)
def test_a_run_of_which_the_worker_that_is_here_never_heard_is_no_attempt(plane: Plane, news: Input) -> None:
    plane.connect(1)
    turn = plane.turn(news)
    [untaken, again] = turn.batch.tasks["t"].runs
    assert (untaken.failure, untaken.attempt, again.attempt) == (FailureKind.REJECTED, 1, 1)
    assert [order.run_id for order in assigned(turn, 1)] == [again.id]


@pytest.mark.parametrize("process", ["q", "p"])
def test_a_run_that_died_with_its_process_or_was_to_stop_is_an_attempt(plane: Plane, process: str) -> None:
    stopped = replace(UNSTARTED, stop=FailureKind.WORKER_LOST) if process == "p" else UNSTARTED
    plane.connect(1, process=process)
    task = plane.turn(TasksInherited([replace(ONCE, runs=(stopped,))])).batch.tasks["t"]
    assert (task.status, only_run(task).failure) == (TaskStatus.FAILED, FailureKind.WORKER_LOST)


def test_of_the_runs_of_a_worker_that_is_elsewhere_those_it_never_heard_of_are_no_attempts(plane: Plane) -> None:
    begun = replace(ONCE, id="u", runs=(replace(RUN, id="run-2"),))
    plane.turn(TasksInherited([ONCE, begun]))
    tasks = plane.turn(WorkerElsewhere("w")).batch.tasks
    assert (tasks["t"].status, only_run(tasks["t"]).failure) == (TaskStatus.PENDING, FailureKind.REJECTED)
    assert only_run(tasks["t"]).lost_after_ms == 0
    assert (tasks["u"].status, only_run(tasks["u"]).failure) == (TaskStatus.FAILED, FailureKind.WORKER_LOST)
    assert plane.status() is None


def test_a_new_process_of_a_worker_that_was_elsewhere_begins_with_nothing(plane: Plane) -> None:
    plane.connect(1, "run-9", process="q")
    turn = plane.turn(RunsClaimed(ClaimRuns(1, "w"), (TASK,)))
    assert directives(turn, 1) == {"run-9": (Verdict.UNKNOWN, 0)}
    assert turn.batch.tasks["t"].runs[0].failure is FailureKind.WORKER_LOST


def test_one_that_is_alone_asks_nobody() -> None:
    plane = Plane()
    plane.core = ControlPlaneCore(ControlPlaneTimers(), lambda: "id")
    turn = plane.connect(1, "run-1")
    assert turn.batch.asks == []
    assert directives(turn, 1) == {"run-1": (Verdict.UNKNOWN, 0)}


def test_a_worker_on_a_new_stream_may_bring_runs_that_it_had_from_another_meanwhile(plane: Plane) -> None:
    plane.connect(1)
    [ask] = plane.connect(2, "run-1").batch.asks
    assert isinstance(ask, ClaimRuns)
    turn = plane.turn(RunsClaimed(ask, (TASK,)))
    assert [session for session, _ in turn.closes] == [1]
    assert directives(turn, 2) == {"run-1": (Verdict.GO_ON, 7)}
    assert plane.status() is WorkerStatus.BUSY


def test_a_stream_that_ends_while_the_store_is_asked_leaves_its_runs_their_time(plane: Plane) -> None:
    [ask] = plane.connect(1, "run-1").batch.asks
    assert isinstance(ask, ClaimRuns)
    plane.turn(WorkerGone(1))
    turn = plane.turn(RunsClaimed(ask, (TASK,)))
    assert (turn.replies, plane.status()) == ([], WorkerStatus.DISCONNECTED)
    plane.mono = GRACE
    assert plane.turn().batch.tasks["t"].status is TaskStatus.PENDING


def test_a_drain_that_begins_while_the_store_is_asked_lets_nobody_in(plane: Plane) -> None:
    [ask] = plane.connect(1, "run-1").batch.asks
    assert isinstance(ask, ClaimRuns)
    [(_, refusal)] = plane.turn(DrainStarted(), RunsClaimed(ask, ())).replies
    assert "shutting down" in str(refusal)


def test_an_inherited_run_waits_for_its_worker_as_after_a_restart(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    assert plane.status() is WorkerStatus.DISCONNECTED
    plane.mono = GRACE - 1
    assert directives(plane.connect(1, "run-1"), 1) == {"run-1": (Verdict.GO_ON, 7)}


def test_an_inherited_run_whose_worker_stays_away_is_lost(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    plane.mono = GRACE
    assert plane.turn().batch.tasks["t"].status is TaskStatus.PENDING


@pytest.mark.parametrize("come", [lambda plane: plane.connect(1), lambda plane: plane.connect(1, process="q")])
def test_an_inherited_run_that_its_worker_came_without_is_lost(plane: Plane, come: Callable[[Plane], Turn]) -> None:
    come(plane)
    task = plane.turn(TasksInherited([TASK])).batch.tasks["t"]
    assert task.runs[0].status is RunStatus.FAILED


def test_a_task_that_another_has_is_dropped_without_a_word(plane: Plane) -> None:
    plane.connect(1)
    turn = plane.turn(CreateTask(7, TaskSpec("echo", "1"), "ann"))
    [task] = turn.batch.tasks.values()
    assert task.status is TaskStatus.RUNNING
    turn = plane.turn(Disowned((task.id, "unknown")))
    assert (turn.batch.tasks, turn.sends, turn.closes) == ({}, {}, [])
    assert plane.status() is WorkerStatus.IDLE
    plane.mono = 40.0
    assert not plane.turn().batch.tasks


def test_a_run_that_was_dropped_is_fenced(plane: Plane) -> None:
    plane.connect(1)
    [task] = plane.turn(CreateTask(7, TaskSpec("echo", "1"), "ann")).batch.tasks.values()
    plane.turn(Disowned((task.id,)))
    turn = plane.turn(WorkerSpoke(1, [RunReport(task.runs[0].id, RunStatus.COMPLETED, seq=0)]))
    assert not turn.batch.tasks


def test_what_is_read_from_the_store_twice_is_taken_over_once(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    plane.connect(1, "run-1")
    plane.turn(WorkerSpoke(1, [RunReport("run-1", RunStatus.RUNNING, seq=7)]))
    assert not plane.turn(TasksInherited([TASK])).batch.tasks
    assert plane.turn(WorkerSpoke(1, [RunReport("run-1", RunStatus.COMPLETED, seq=8)])).batch.tasks


# What was decided and not stored, because another has the task.


def test_what_rests_on_a_task_of_another_is_not_said(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    plane.mono = GRACE - 1
    hello = Hello(WorkerInfo(agents=(AgentSpec("echo"),)), frozenset({RESUME}), 5, "", "q")
    plane.turn(ConnectWorker(2, 2, "other", hello))
    plane.mono = GRACE
    turn = plane.turn(CreateTask(7, TaskSpec("echo", "2"), "ann"))
    assert {order.task_id for order in assigned(turn, 2)} == {"id-1", "t"}
    assert turn.take_back({"t"}) == []
    assert [reply for reply, _ in turn.replies] == [7]
    assert [order.task_id for order in assigned(turn, 2)] == ["id-1"]
    assert {type(event) for event in turn.events} & {TaskMoved, RunEnded, RunAssigned, TaskRequeued} == {
        TaskMoved,
        RunAssigned,
    }


def test_a_cancel_that_changed_nothing_is_put_again_and_relayed(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    turn = plane.turn(CancelTask(8, "t"))
    assert turn.batch.tasks["t"].cancel_requested
    again = plane.turn(Disowned(("t",)), *turn.take_back({"t"}))
    assert again.batch.asks == [ClaimTask("t")]


def test_a_create_whose_key_another_used_at_the_same_time_is_answered_with_that_task(plane: Plane) -> None:
    plane.connect(1)
    create = CreateTask(7, TaskSpec("echo", "1", idempotency_key="k"), "ann")
    [ask] = plane.turn(create).batch.asks
    assert isinstance(ask, FindKey)
    turn = plane.turn(KeyFound(ask, None))
    [task] = turn.batch.tasks.values()
    turn = plane.turn(Disowned((task.id,)), *turn.take_back({task.id}))
    [ask] = turn.batch.asks
    assert isinstance(ask, FindKey)
    theirs = replace(task, id="theirs")
    assert plane.turn(KeyFound(ask, theirs)).replies == [(7, theirs)]
    assert plane.status() is WorkerStatus.IDLE


def test_all_who_used_a_key_at_once_are_answered_with_the_task_that_another_made_of_it(plane: Plane) -> None:
    creates = [CreateTask(reply, TaskSpec("echo", "1", idempotency_key="k"), "ann") for reply in (7, 8)]
    [ask] = plane.turn(*creates).batch.asks
    assert isinstance(ask, FindKey)
    turn = plane.turn(KeyFound(ask, None))
    [task] = turn.batch.tasks.values()
    assert turn.take_back({task.id}) == creates
    assert turn.replies == []


# Cancels of what another has.


def test_a_cancel_of_what_another_has_is_relayed_and_answered(plane: Plane) -> None:
    assert plane.turn(CancelTask(8, "t")).batch.asks == [ClaimTask("t")]
    turn = plane.turn(TaskClaimed(ClaimTask("t"), TASK, owned=False, elsewhere=True), CancelTask(9, "u"))
    assert turn.batch.asks == [RelayCancel("t"), ClaimTask("u")]
    assert turn.replies == []
    assert plane.turn(CancelRelayed(RelayCancel("t"), TASK)).replies == [(8, replace(TASK, cancel_requested=True))]


@pytest.mark.parametrize(
    ("task", "refusal"), [(None, NotFound), (replace(TASK, status=TaskStatus.COMPLETED), FailedPrecondition)]
)
def test_a_cancel_that_came_too_late_to_be_relayed_is_refused(
    plane: Plane, task: Task | None, refusal: type[TaskRunError]
) -> None:
    plane.turn(CancelTask(8, "t"))
    plane.turn(TaskClaimed(ClaimTask("t"), TASK, owned=False, elsewhere=True))
    [(_, answer)] = plane.turn(CancelRelayed(RelayCancel("t"), task)).replies
    assert isinstance(answer, refusal)


def test_a_cancel_wanted_elsewhere_stops_the_run(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    plane.connect(1, "run-1")
    turn = plane.turn(CancelWanted("t"))
    assert turn.batch.tasks["t"].cancel_requested
    assert turn.sends[1] == [CancelRun("run-1", "the task was cancelled")]
    assert (turn.replies, plane.turn(CancelWanted("t")).batch.tasks) == ([], {})


def test_a_cancel_wanted_elsewhere_of_a_task_that_waits_claims_it(plane: Plane) -> None:
    waiting = replace(TASK, status=TaskStatus.PENDING, runs=())
    assert plane.turn(CancelWanted("t")).batch.asks == [ClaimTask("t")]
    turn = plane.turn(TaskClaimed(ClaimTask("t"), waiting, owned=True))
    assert turn.batch.tasks["t"].status is TaskStatus.CANCELLED


def test_a_cancel_wanted_elsewhere_of_a_task_that_others_have_by_now_is_left_to_them(plane: Plane) -> None:
    plane.turn(CancelWanted("t"))
    turn = plane.turn(TaskClaimed(ClaimTask("t"), TASK, owned=False, elsewhere=True))
    assert (turn.batch.asks, turn.replies) == ([], [])


# Ends that are overruled by a cancel which another has promised.


def test_a_run_that_ends_as_another_promises_the_cancel_ends_a_cancelled_task(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    plane.connect(1, "run-1")
    create = CreateTask(7, TaskSpec("echo", "2"), "ann")
    turn = plane.turn(create, WorkerSpoke(1, [RunReport("run-1", RunStatus.COMPLETED, seq=7)]))
    other = turn.batch.tasks["id-1"]
    overrule(turn, ["t"])
    task = turn.batch.tasks["t"]
    assert (task.status, task.cancel_requested, task.runs[0].status) == (
        TaskStatus.CANCELLED,
        True,
        RunStatus.COMPLETED,
    )
    assert [entry.body for entry in turn.batch.story["t"]] == [TaskChange(TaskStatus.CANCELLED, True, task.runs[0])]
    moves = [event for event in turn.events if isinstance(event, TaskMoved)]
    assert moves[-1] == TaskMoved(task, TaskStatus.RUNNING, TaskStatus.CANCELLED)
    assert turn.batch.tasks["id-1"] == other


def test_a_task_that_expires_as_another_promises_the_cancel_has_not_expired(plane: Plane) -> None:
    waiting = replace(TASK, status=TaskStatus.PENDING, runs=(), expires_at_ms=5000)
    late = replace(waiting, id="u")
    plane.turn(QueueSeen({Requirement("echo"): 2}, 5000))
    plane.mono = 5.0
    [ask] = plane.turn().batch.asks
    assert isinstance(ask, ClaimExpired)
    turn = plane.turn(ExpiredClaimed(ask, (waiting, late), 0))
    overrule(turn, ["t"])
    task = turn.batch.tasks["t"]
    assert (task.status, task.failure, task.error) == (TaskStatus.CANCELLED, None, "")
    assert [entry.body for entry in turn.batch.story["t"]] == [TaskChange(TaskStatus.CANCELLED, True)]
    assert [event.task.id for event in turn.events if isinstance(event, TaskExpired)] == ["u"]
    assert TaskMoved(task, TaskStatus.PENDING, TaskStatus.CANCELLED) in turn.events


# The queue, and workers.


def test_what_others_put_into_the_queue_is_claimed(plane: Plane) -> None:
    plane.connect(1)
    [ask] = plane.turn(QueueGrew({Requirement("echo"): 2, Requirement("other"): 1})).batch.asks
    assert isinstance(ask, ClaimNext)
    assert (ask.requirements, ask.limit) == ((Requirement("echo"),), 2)
    assert plane.turn(TasksClaimed(ask, ())).batch.asks == []
    [ask] = plane.turn(QueueSeen({Requirement("echo"): 1})).batch.asks
    assert isinstance(ask, ClaimNext)


def test_what_others_put_into_the_queue_ends_when_it_has_waited_too_long(plane: Plane) -> None:
    plane.turn(QueueSeen({Requirement("echo"): 1}, 5000))
    assert plane.core.next_deadline() == 5.0
    plane.mono = 5.0
    [ask] = plane.turn().batch.asks
    assert isinstance(ask, ClaimExpired)


def test_a_worker_that_is_elsewhere_is_not_waited_for(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    turn = plane.turn(WorkerElsewhere("w"))
    assert turn.batch.tasks["t"].status is TaskStatus.PENDING
    assert plane.status() is None


def test_a_worker_that_is_here_or_unknown_is_not_elsewhere(plane: Plane) -> None:
    plane.connect(1)
    plane.turn(WorkerElsewhere("w"), WorkerElsewhere("v"))
    assert plane.status() is WorkerStatus.IDLE
