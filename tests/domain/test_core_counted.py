"""Runs that began where no limit counted them: what a core that shares its store says of them, and when."""

from __future__ import annotations

import pytest

from taskrun.domain.batch import ClaimRuns, RunsClaimed
from taskrun.domain.control_plane.inputs import ConnectWorker, PolicyChanged, TasksInherited, WorkerSpoke
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.now import Now
from taskrun.domain.protocol import RESUME, Hello, LiveRun, RunReport
from taskrun.domain.quotas import AccountName, Limit, Policy
from taskrun.domain.records import AgentSpec, Run, Task, TaskSpec, WorkerInfo
from taskrun.domain.status import RunStatus, TaskStatus
from taskrun.ports.store import Recovery
from tests.domain.shared_plane import Plane, made

ANN, ECHO = AccountName("client", "ann"), AccountName("agent", "echo")
TWO = Limit("client", running=2)
RUN = Run("run-1", "w", RunStatus.RUNNING, 1, 1, 2, process="p")
TASK = Task(
    "t", TaskSpec("echo", "1"), TaskStatus.RUNNING, "client:ann", 1, (RUN,), next_seq=3, share=(("client", "ann"),)
)
BACK = ConnectWorker(-1, 1, "w", Hello(WorkerInfo(agents=(AgentSpec("echo"),)), frozenset({RESUME}), 5, "", "p", ()))


def running(plane: Plane, count: int = 2) -> list[Task]:
    """Tasks of ann that its one worker has begun with."""
    plane.connect(1, slots=5)
    return made(plane.turn(*(plane.request() for _ in range(count))))


def test_limits_that_come_later_count_what_runs() -> None:
    plane = Plane()
    first, second = running(plane)
    turn = plane.turn(PolicyChanged(Policy([TWO, Limit("agent", running=9, waiting=1)])))
    assert turn.batch.counted == dict.fromkeys([first.id, second.id], (ANN, ECHO))
    assert bool(turn.batch)


def test_what_only_waits_or_comes_too_fast_under_a_limit_is_not_counted() -> None:
    plane = Plane()
    running(plane)
    limits = [Limit("client", waiting=1), Limit("agent", per_minute=1), Limit("label:team", running=1)]
    assert not plane.turn(PolicyChanged(Policy(limits))).batch


def test_who_is_alone_counts_itself() -> None:
    plane = Plane(shared=False)
    running(plane)
    assert not plane.turn(PolicyChanged(Policy([TWO]))).batch
    assert [task.status for task in made(plane.turn(plane.request()))] == [TaskStatus.PENDING]


def test_what_ends_in_the_same_turn_is_not_counted() -> None:
    plane = Plane()
    first, second = running(plane)
    ended = WorkerSpoke(1, [RunReport(first.runs[-1].id, RunStatus.COMPLETED)])
    assert list(plane.turn(PolicyChanged(Policy([TWO])), ended).batch.counted) == [second.id]


def test_a_new_task_that_finds_no_room_is_not_counted_either() -> None:
    plane = Plane(TWO)
    plane.connect(1, slots=5)
    turn = plane.turn(plane.request(), PolicyChanged(Policy([TWO, Limit("agent", running=9)])))
    [task] = made(turn)
    assert (turn.batch.running, turn.batch.counted) == ({task.id: ((ANN, 2),)}, {task.id: (ANN, ECHO)})
    plane.core.overbooked(turn, (task.id,))
    assert (turn.batch.running, turn.batch.counted) == ({}, {})


def recovered(plane: Plane) -> Turn:
    return plane.core.recover(Recovery((TASK,)), Now(0.0, 0))


def inherited(plane: Plane) -> Turn:
    return plane.turn(TasksInherited([TASK]))


def brought(plane: Plane) -> Turn:
    hello = Hello(BACK.hello.info, frozenset({RESUME}), 5, "", "p", (LiveRun("run-1", 0),))
    plane.turn(ConnectWorker(-1, 1, "w", hello))
    return plane.turn(RunsClaimed(ClaimRuns(1, "w"), (TASK,)))


@pytest.mark.parametrize("take_over", [recovered, inherited, brought])
def test_what_was_begun_by_another_counts_from_when_it_is_here(take_over) -> None:  # type: ignore[no-untyped-def]
    assert take_over(Plane(TWO)).batch.counted == {"t": (ANN,)}
    assert take_over(Plane()).batch.counted == {}


def test_what_is_taken_over_and_lost_at_once_is_not_counted() -> None:
    plane = Plane(TWO)
    plane.turn(BACK, RunsClaimed(ClaimRuns(1, "w"), ()))
    turn = inherited(plane)
    assert (turn.batch.tasks["t"].status, turn.batch.counted) == (TaskStatus.PENDING, {})
