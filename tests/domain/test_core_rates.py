"""Rates that several control planes count together: what a core asks of the store, and what it makes of the answer."""

from __future__ import annotations

import pytest

from taskrun.domain.batch import KeyFound, RateTaken, TakeRate
from taskrun.domain.control_plane.inputs import WorkerGone
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


def test_all_creates_of_a_turn_are_one_ask_and_those_that_came_first_are_granted() -> None:
    plane = Plane(A_MINUTE)
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
    plane = Plane(A_MINUTE, Limit("agent", "echo", per_minute=9))
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
    plane = Plane(A_MINUTE)
    plane.turn(nothing_left(asked(plane.turn(plane.request())), wait=0.75))
    plane.mono = 0.5
    turn = plane.turn(plane.request(), plane.request("client:bob"))
    assert refused(turn) == ["The client ann may create 60 tasks a minute: try again in 0.2 s."]
    assert asked(turn).accounts == ((BOB, 60),)
    plane.mono = 0.75
    assert asked(plane.turn(plane.request())).accounts == ((ANN, 60),)


def test_a_slot_is_set_aside_for_a_create_until_its_rate_is_known() -> None:
    plane = Plane(A_MINUTE)
    plane.connect(1, slots=1)
    plane.turn(nothing_left(asked(plane.turn(plane.request(), plane.request())), wait=1))
    plane.mono = 1
    ask = asked(plane.turn(plane.request(), plane.request()))
    assert [task.status for task in made(plane.turn(RateTaken(ask, 2)))] == [TaskStatus.RUNNING, TaskStatus.PENDING]


@pytest.mark.parametrize(("another", "status"), [(True, TaskStatus.RUNNING), (False, TaskStatus.PENDING)])
def test_a_create_whose_worker_goes_meanwhile_gets_another_or_waits(status: TaskStatus, *, another: bool) -> None:
    plane = Plane(Limit("client", per_minute=60))
    plane.connect(1, slots=1)
    turn = plane.turn(plane.request(), WorkerGone(1))
    if another:
        plane.connect(2, slots=1)
    [task] = made(plane.turn(RateTaken(asked(turn), 1)))
    assert task.status is status


# Under idempotency keys.


def test_the_repeat_of_what_was_created_asks_for_no_rate() -> None:
    plane = Plane(A_MINUTE)
    plane.turn(nothing_left(asked(plane.turn(plane.request()))))
    repeat = plane.request(idempotency_key="k")
    known = Task("known", repeat.spec, TaskStatus.PENDING, "client:ann", 1)
    turn = plane.turn(KeyFound(find(plane.turn(repeat)), known))
    assert made(turn) == [known]
    assert rates(turn) == []


def test_who_uses_a_key_while_the_first_waits_for_its_rate_gets_the_same_task() -> None:
    plane = Plane(A_MINUTE)
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
    plane = Plane(A_MINUTE)
    requests = [plane.request(idempotency_key="k") for _ in range(3000)]
    ask = asked(plane.turn(KeyFound(find(plane.turn(*requests)), None)))
    turn = plane.turn(nothing_left(ask))
    assert len(refused(turn)) == 3000
    assert not turn.batch
    plane.mono = 5
    assert asked(plane.turn(KeyFound(find(plane.turn(requests[0])), None))).wanted == 1


def test_another_request_under_the_key_is_next_if_the_first_is_refused() -> None:
    plane = Plane(Limit("agent", per_minute=60))
    first, other = plane.request(idempotency_key="k"), plane.request(agent="other", idempotency_key="k")
    ask = asked(plane.turn(KeyFound(find(plane.turn(first, other)), None)))
    turn = plane.turn(nothing_left(ask, full=ECHO))
    assert [reply for reply, _ in turn.replies] == [first.reply]
    assert asked(turn).accounts == ((AccountName("agent", "other"), 60),)
    turn = plane.turn(RateTaken(asked(turn), 1))
    assert [task.spec for task in made(turn)] == [other.spec]
