"""Rates that several control planes count together: what a core asks of the store, and what it makes of the answer."""

from __future__ import annotations

import pytest

from taskrun.domain.batch import ClaimNext, KeyFound, RateTaken, TakeRate, TurnedAway
from taskrun.domain.control_plane.inputs import WorkerGone
from taskrun.domain.control_plane.leaving_out import leave_out
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import AlreadyExists
from taskrun.domain.events import TaskRefused
from taskrun.domain.quotas import AccountName, Limit
from taskrun.domain.records import Task
from taskrun.domain.status import TaskStatus
from tests.domain.shared_plane import Plane, find, made, refused

ANN, BOB = AccountName("client", "ann"), AccountName("client", "bob")
ECHO = AccountName("agent", "echo")
A_MINUTE = Limit("client", per_minute=60)


def rates(turn: Turn) -> list[TakeRate]:
    return [ask for ask in turn.batch.asks if isinstance(ask, TakeRate)]


def asked(turn: Turn) -> TakeRate:
    """The one rate that the turn asks for."""
    [ask] = rates(turn)
    return ask


def nothing_left(ask: TakeRate, granted: int = 0, full: AccountName = ANN, wait: float = 4.2) -> RateTaken:
    return RateTaken(ask, granted, full, wait)


def of_rate(*tasks: Task, wait: float = 4.2) -> TurnedAway:
    return TurnedAway(tasks, ANN, 60, wait=wait)


# Far from a rate.


def test_who_is_far_from_its_rate_is_made_at_once_and_names_its_accounts() -> None:
    plane = Plane(A_MINUTE, Limit("agent", "echo", per_minute=9))
    turn = plane.turn(plane.request(), plane.request("client:bob", "other"))
    ann, bob = made(turn)
    assert turn.batch.rates == {ann.id: ((ANN, 60), (ECHO, 9)), bob.id: ((BOB, 60),)}
    assert rates(turn) == []


def test_from_half_of_its_minute_on_the_store_is_asked_before_anything_is_made() -> None:
    plane = Plane(A_MINUTE)
    turn = plane.turn(*(plane.request() for _ in range(50)))
    assert (len(made(turn)), len(turn.batch.rates), asked(turn).wanted) == (30, 30, 20)
    turn = plane.turn(RateTaken(asked(turn), 20))
    assert (len(made(turn)), turn.batch.rates) == (20, {})
    plane.mono = 21
    turn = plane.turn(plane.request(), plane.request())
    assert (len(made(turn)), asked(turn).wanted) == (1, 1)


def test_who_is_turned_away_is_refused_and_the_next_without_the_store() -> None:
    plane = Plane(A_MINUTE)
    plane.connect(1, slots=1)
    turn = plane.turn(*(plane.request() for _ in range(3)))
    running, waiting, last = made(turn)
    news = of_rate(running, last)
    assert leave_out(turn, [news]) == []
    assert made(turn) == [waiting]
    assert refused(turn) == ["The client ann may create 60 tasks a minute: try again in 4.2 s."] * 2
    assert turn.events.count(TaskRefused(ANN, "per_minute")) == 2
    assert (list(turn.batch.tasks), list(turn.sends.values())) == ([waiting.id], [[]])
    turn = plane.turn(news, plane.request())
    assert refused(turn) == ["The client ann may create 60 tasks a minute: try again in 4.2 s."]
    # Whoever is left has the slot.
    [claim] = turn.batch.asks
    assert isinstance(claim, ClaimNext)
    assert (claim.limit, plane.core._scheduler.waiting(claim.requirements[0])) == (1, 1)
    plane.mono = 4.2
    assert asked(plane.turn(plane.request())).accounts == ((ANN, 60),)


def test_all_who_use_a_key_are_refused_when_its_task_is_turned_away() -> None:
    plane = Plane(A_MINUTE)
    turn = plane.turn(KeyFound(find(plane.turn(*(plane.request(idempotency_key="k") for _ in range(3)))), None))
    assert leave_out(turn, [of_rate(*turn.batch.tasks.values())]) == []
    assert (len(refused(turn)), turn.batch.tasks) == (3, {})


@pytest.mark.parametrize(("workers", "status"), [(1, TaskStatus.PENDING), (2, TaskStatus.FAILED)])
def test_nothing_is_left_of_what_is_turned_away_although_its_workers_have_gone_meanwhile(
    workers: int, status: TaskStatus
) -> None:
    plane = Plane(A_MINUTE)
    for session in range(workers):
        plane.connect(session, slots=1)
    turn = plane.turn(plane.request(), *map(WorkerGone, range(workers)), plane.request())
    lost, waits = turn.batch.tasks.values()
    assert (lost.status, len(lost.runs)) == (status, workers)
    leave_out(turn, [of_rate(lost)])
    plane.turn(of_rate(lost))
    assert plane.core._scheduler.waiting(waits.requirement) == 1


# Perhaps near to it.


def test_all_creates_of_a_turn_are_one_ask_and_those_that_came_first_are_granted() -> None:
    plane = Plane(A_MINUTE).near(ANN, 60)
    turn = plane.turn(*(plane.request() for _ in range(1000)))
    ask = asked(turn)
    assert (ask.accounts, ask.wanted) == (((ANN, 60),), 1000)
    assert (turn.replies, turn.batch.tasks) == ([], {})
    turn = plane.turn(nothing_left(ask, 60))
    assert [reply for reply, answer in turn.replies if isinstance(answer, Task)] == list(range(1, 61))
    assert refused(turn) == ["The client ann may create 60 tasks a minute: try again in 4.2 s."] * 940
    assert turn.events.count(TaskRefused(ANN, "per_minute")) == 940
    assert len(turn.batch.tasks) == 60
    assert rates(turn) == []


def test_each_set_of_accounts_is_asked_for_by_itself() -> None:
    plane = Plane(A_MINUTE, Limit("agent", "echo", per_minute=9)).near(ECHO, 9).near(BOB, 60)
    turn = plane.turn(plane.request(), plane.request("client:bob", "other"), plane.request())
    assert [(ask.accounts, ask.wanted) for ask in rates(turn)] == [(((ANN, 60), (ECHO, 9)), 2), (((BOB, 60),), 1)]
    ann, bob = rates(turn)
    turn = plane.turn(RateTaken(ann, 2), nothing_left(bob, 0, BOB))
    assert [task.created_by for task in made(turn)] == ["client:ann"] * 2
    assert len(refused(turn)) == 1


@pytest.mark.parametrize(("limit", "shared"), [(A_MINUTE, False), (Limit("client", waiting=9), True)])
def test_who_counts_alone_and_what_has_no_rate_asks_for_none(limit: Limit, *, shared: bool) -> None:
    plane = Plane(limit, shared=shared)
    turn = plane.turn(plane.request())
    assert len(made(turn)) == 1
    assert rates(turn) == []


def test_who_was_granted_nothing_is_not_asked_for_again_before_its_time() -> None:
    plane = Plane(A_MINUTE).near(ANN, 60).near(BOB, 60)
    plane.turn(nothing_left(asked(plane.turn(plane.request())), wait=0.75))
    plane.mono = 0.5
    turn = plane.turn(plane.request(), plane.request("client:bob"))
    assert refused(turn) == ["The client ann may create 60 tasks a minute: try again in 0.2 s."]
    assert asked(turn).accounts == ((BOB, 60),)
    plane.mono = 0.75
    assert asked(plane.turn(plane.request())).accounts == ((ANN, 60),)


def test_a_slot_is_set_aside_for_a_create_until_its_rate_is_known() -> None:
    plane = Plane(A_MINUTE).near(ANN, 60)
    plane.connect(1, slots=1)
    plane.turn(nothing_left(asked(plane.turn(plane.request(), plane.request())), wait=1))
    plane.mono = 1
    ask = asked(plane.turn(plane.request(), plane.request()))
    assert [task.status for task in made(plane.turn(RateTaken(ask, 2)))] == [TaskStatus.RUNNING, TaskStatus.PENDING]


@pytest.mark.parametrize(("another", "status"), [(True, TaskStatus.RUNNING), (False, TaskStatus.PENDING)])
def test_a_create_whose_worker_goes_meanwhile_gets_another_or_waits(status: TaskStatus, *, another: bool) -> None:
    plane = Plane(A_MINUTE).near(ANN, 60)
    plane.connect(1, slots=1)
    turn = plane.turn(plane.request(), WorkerGone(1))
    if another:
        plane.connect(2, slots=1)
    [task] = made(plane.turn(RateTaken(asked(turn), 1)))
    assert task.status is status


# Under idempotency keys.


def test_the_repeat_of_what_was_created_asks_for_no_rate() -> None:
    plane = Plane(A_MINUTE).near(ANN, 60)
    plane.turn(nothing_left(asked(plane.turn(plane.request()))))
    repeat = plane.request(idempotency_key="k")
    known = Task("known", repeat.spec, TaskStatus.PENDING, "client:ann", 1)
    turn = plane.turn(KeyFound(find(plane.turn(repeat)), known))
    assert made(turn) == [known]
    assert rates(turn) == []


def test_who_uses_a_key_while_the_first_waits_for_its_rate_gets_the_same_task() -> None:
    plane = Plane(A_MINUTE).near(ANN, 60)
    first, second, third = (plane.request(idempotency_key="k") for _ in range(3))
    other = plane.request(idempotency_key="k", priority=1)
    turn = plane.turn(KeyFound(find(plane.turn(first, second)), None), third)
    assert asked(turn).wanted == 1
    assert turn.batch.asks == rates(turn)
    turn = plane.turn(RateTaken(asked(turn), 1), other)
    assert [(reply, answer.id) for reply, answer in turn.replies if isinstance(answer, Task)] == [
        (request.reply, "id-1") for request in (first, second, third)
    ]
    # It came after that, and hears from the store what its key was used for.
    turn = plane.turn(KeyFound(find(turn), made(turn)[0]))
    [(reply, refusal)] = turn.replies
    assert (reply, type(refusal)) == (other.reply, AlreadyExists)


def test_all_who_use_a_key_are_refused_with_the_first_and_ask_no_more() -> None:
    plane = Plane(A_MINUTE).near(ANN, 60)
    requests = [plane.request(idempotency_key="k") for _ in range(3000)]
    ask = asked(plane.turn(KeyFound(find(plane.turn(*requests)), None)))
    turn = plane.turn(nothing_left(ask))
    assert len(refused(turn)) == 3000
    assert not turn.batch
    plane.mono = 5
    assert asked(plane.turn(KeyFound(find(plane.turn(requests[0])), None))).wanted == 1


def test_another_request_under_the_key_is_next_if_the_first_is_refused() -> None:
    plane = Plane(Limit("agent", per_minute=60)).near(ECHO, 60).near(AccountName("agent", "other"), 60)
    first, other = plane.request(idempotency_key="k"), plane.request(agent="other", idempotency_key="k")
    ask = asked(plane.turn(KeyFound(find(plane.turn(first, other)), None)))
    turn = plane.turn(nothing_left(ask, full=ECHO))
    assert [reply for reply, _ in turn.replies] == [first.reply]
    assert asked(turn).accounts == ((AccountName("agent", "other"), 60),)
    turn = plane.turn(RateTaken(asked(turn), 1))
    assert [task.spec for task in made(turn)] == [other.spec]
