"""New tasks that a worker is to have at once, where several control planes count together what runs: what a core tells
the store of them, and what it makes of those that find no room."""

from __future__ import annotations

import pytest

from taskrun.domain.batch import ClaimNext, KeyFound, RateTaken, TakeRate, TasksClaimed, TurnedAway
from taskrun.domain.control_plane.inputs import RoomMade, WorkerGone
from taskrun.domain.control_plane.leaving_out import leave_out
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.events import RunAssigned, SlotsChanged, TaskMoved, TasksHeld, WorkerMoved
from taskrun.domain.protocol import AssignRun
from taskrun.domain.quotas import AccountName, Limit
from taskrun.domain.records import Requirement
from taskrun.domain.status import TaskStatus, WorkerStatus
from tests.domain.shared_plane import Plane, find, made, refused

ANN, ECHO = AccountName("client", "ann"), AccountName("agent", "echo")
LINE = Requirement("echo", (), (("client", "ann"),))
PENDING, RUNNING = TaskStatus.PENDING, TaskStatus.RUNNING
TWO = Limit("client", running=2)


def busy(*limits: Limit, slots: int = 5) -> Plane:
    """One with a worker."""
    plane = Plane(*limits)
    plane.connect(1, slots)
    return plane


def orders(turn: Turn) -> list[str]:
    """The tasks with which workers are told to begin."""
    return [each.task_id for sends in turn.sends.values() for each in sends if isinstance(each, AssignRun)]


def claims(turn: Turn) -> list[ClaimNext]:
    return [ask for ask in turn.batch.asks if isinstance(ask, ClaimNext)]


def test_what_is_to_run_at_once_names_the_accounts_in_which_it_does() -> None:
    plane = busy(TWO, Limit("agent", "echo", running=9, waiting=3), slots=2)
    first, second, third = made(turn := plane.turn(*(plane.request() for _ in range(3))))
    assert turn.batch.running == dict.fromkeys([first.id, second.id], ((ANN, 2), (ECHO, 9)))
    assert list(turn.batch.waiting) == [third.id]


def test_no_more_are_to_run_than_may_here() -> None:
    plane = busy(TWO)
    turn = plane.turn(*(plane.request() for _ in range(3)))
    assert [task.status for task in made(turn)] == [RUNNING, RUNNING, PENDING]
    assert len(turn.batch.running) == 2


def test_what_no_limit_on_runs_counts_names_none() -> None:
    plane = busy(Limit("client", waiting=2))
    turn = plane.turn(plane.request())
    assert (turn.batch.running, turn.placed) == ({}, {})


def test_who_is_alone_counts_itself() -> None:
    plane = Plane(TWO, shared=False)
    plane.connect(1, slots=5)
    turn = plane.turn(plane.request())
    assert ([task.status for task in made(turn)], turn.batch.running) == ([RUNNING], {})


def test_who_finds_no_room_waits_and_nothing_is_said_of_its_run() -> None:
    plane = busy(TWO)
    first, second = made(turn := plane.turn(*(plane.request() for _ in range(2))))
    plane.core.overbooked(turn, (second.id,))
    assert [(task.id, task.status) for task in made(turn)] == [(first.id, RUNNING), (second.id, PENDING)]
    waits = turn.batch.tasks[second.id]
    assert (waits, waits.runs) == (made(turn)[1], ())
    assert [len(turn.batch.story[task.id]) for task in (first, second)] == [2, 1]
    assert turn.batch.story[second.id][0].next_seq == waits.next_seq
    assert (list(turn.batch.running), orders(turn)) == ([first.id], [first.id])
    moves = [(each.task.id, each.new) for each in turn.events if isinstance(each, TaskMoved)]
    assert moves == [(first.id, PENDING), (first.id, RUNNING), (second.id, PENDING)]
    assert [each.task_id for each in turn.events if isinstance(each, RunAssigned)] == [first.id]
    assert [each for each in turn.events if isinstance(each, SlotsChanged)][-1] == SlotsChanged(1, 4)
    assert plane.core._scheduler.waiting(LINE) == 1


def test_a_worker_whose_only_run_is_called_off_is_free() -> None:
    plane = busy(TWO)
    turn = plane.turn(plane.request())
    plane.core.overbooked(turn, tuple(turn.batch.running))
    moves = [each.new for each in turn.events if isinstance(each, WorkerMoved)]
    assert moves == [WorkerStatus.BUSY, WorkerStatus.IDLE]


def test_who_waits_is_claimed_with_it_and_who_is_full_is_learnt_from_that() -> None:
    plane = busy(TWO)
    turn = plane.turn(plane.request())
    plane.core.overbooked(turn, tuple(turn.batch.running))
    [claim] = claims(turn)
    assert (claim.requirements, claim.limit, claim.limits) == ((LINE,), 1, ((ANN, 2),))
    turn = plane.turn(TasksClaimed(claim, (), (ANN,)), plane.request())
    assert ([task.status for task in made(turn)], turn.batch.running, claims(turn)) == ([PENDING], {}, [])
    assert TasksHeld({"client": 2}) in turn.events
    [claim] = claims(plane.turn(RoomMade()))
    assert claim.limit == 2


def test_whoever_waits_for_another_account_has_the_slot() -> None:
    plane = busy(Limit("client", "ann", running=1), slots=1)
    turn = plane.turn(plane.request(), plane.request("client:bob"))
    ann, bob = made(turn)
    assert (ann.status, bob.status, claims(turn)) == (RUNNING, PENDING, [])
    plane.core.overbooked(turn, (ann.id,))
    assert len(claims(turn)) == 1


def test_who_has_to_wait_may_find_no_room_for_that_either() -> None:
    plane = busy(TWO, Limit("client", "bob", waiting=1, running=1))
    turn = plane.turn(plane.request("client:bob"))
    [task] = made(turn)
    assert turn.batch.waiting == {}
    plane.core.overbooked(turn, (task.id,))
    bob = AccountName("client", "bob")
    assert turn.batch.waiting == {task.id: ((bob, 1),)}
    news = TurnedAway((turn.batch.tasks[task.id],), bob, 1, 1)
    assert leave_out(turn, [news]) == []
    assert (made(turn), len(refused(turn)), turn.batch.tasks) == ([], 1, {})
    plane.turn(news)
    assert plane.core._scheduler.waiting(Requirement("echo", (), (("client", "bob"),))) == 0


def test_all_who_use_a_key_hear_that_its_task_waits() -> None:
    plane = busy(TWO)
    requests = [plane.request(idempotency_key="k") for _ in range(3)]
    turn = plane.turn(KeyFound(find(plane.turn(*requests)), None))
    plane.core.overbooked(turn, tuple(turn.batch.running))
    assert [task.status for task in made(turn)] == [PENDING] * 3


def test_a_run_that_is_over_before_it_is_stored_needs_no_room() -> None:
    plane = busy(TWO)
    turn = plane.turn(plane.request(), WorkerGone(1))
    [task] = turn.batch.tasks.values()
    assert (task.status, turn.batch.running) == (PENDING, {})


@pytest.mark.parametrize("figure", [1, 2])
def test_who_has_waited_for_its_rate_runs_if_there_is_room_still(figure: int) -> None:
    plane = busy(Limit("client", running=figure, per_minute=60)).near(ANN, 60)
    turn = plane.turn(plane.request(), plane.request())
    [ask] = [ask for ask in turn.batch.asks if isinstance(ask, TakeRate)]
    turn = plane.turn(RateTaken(ask, 2))
    assert [task.status for task in made(turn)] == [RUNNING] * figure + [PENDING] * (2 - figure)
    assert len(turn.batch.running) == figure
