"""How many may wait where several control planes count together: what a core tells the store of new tasks, and what it
makes of those that were turned away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from taskrun.domain.batch import Answer, ClaimNext, Disowned, KeyFound, RateTaken, TakeRate, TasksClaimed, TurnedAway
from taskrun.domain.control_plane.inputs import CreateTask, WorkerGone, WorkerSpoke
from taskrun.domain.control_plane.leaving_out import leave_out
from taskrun.domain.control_plane.turn import Request, Turn
from taskrun.domain.events import TaskMoved, TaskRefused
from taskrun.domain.protocol import Heartbeat
from taskrun.domain.quotas import AccountName, Limit
from taskrun.domain.records import Requirement, Task
from taskrun.domain.status import TaskStatus, WorkerStatus
from tests.domain.shared_plane import Plane, find, made, refused

ANN, ECHO = AccountName("client", "ann"), AccountName("agent", "echo")
LINE = Requirement("echo", (), (("client", "ann"),))
TWO = Limit("client", waiting=2)
CROWDED = "The client ann has 2 of at most 2 tasks waiting: try again when one of them has begun."


def away(*tasks: Task) -> TurnedAway:
    return TurnedAway(tasks, ANN, 2, 2)


def claims(turn: Turn) -> list[ClaimNext]:
    return [ask for ask in turn.batch.asks if isinstance(ask, ClaimNext)]


def commit(turn: Turn, *answers: Answer) -> Sequence[Request]:
    """What the engine does with the answers."""
    return leave_out(turn, answers)


def test_new_tasks_that_wait_name_the_accounts_of_which_so_many_may() -> None:
    plane = Plane(TWO, Limit("agent", "echo", waiting=5, running=3), Limit("agent", "other", running=1))
    turn = plane.turn(plane.request(), plane.request(agent="other"), plane.request(by="client:bob"))
    one, other, bob = made(turn)
    assert turn.batch.waiting == {
        one.id: ((ANN, 2), (ECHO, 5)),
        other.id: ((ANN, 2),),
        bob.id: ((AccountName("client", "bob"), 2), (ECHO, 5)),
    }


def test_what_does_not_wait_and_what_no_limit_counts_names_none() -> None:
    plane = Plane(TWO)
    plane.connect(1, slots=1)
    running, waiting = made(plane.turn(plane.request(), plane.request()))
    assert (running.status, waiting.status) == (TaskStatus.RUNNING, TaskStatus.PENDING)
    assert list(plane.turn(plane.request()).batch.waiting) == ["id-4"]
    assert not Plane(Limit("client", running=9)).turn(plane.request()).batch.waiting


def test_who_is_alone_counts_itself() -> None:
    alone = Plane(TWO, shared=False)
    turn = alone.turn(*(alone.request() for _ in range(3)))
    assert (len(made(turn)), refused(turn), turn.batch.waiting) == (2, [CROWDED], {})


def test_nobody_is_refused_by_what_is_known_here_of_a_queue_that_others_take_from() -> None:
    plane = Plane(TWO)
    assert len(made(plane.turn(*(plane.request() for _ in range(9))))) == 9


def test_who_is_turned_away_is_refused_and_nothing_is_left_of_it() -> None:
    plane = Plane(TWO)
    turn = plane.turn(*(plane.request() for _ in range(3)))
    first, second, third = made(turn)
    assert commit(turn, away(second, third)) == []
    assert turn.replies == [(1, first), *((reply, turn.replies[-1][1]) for reply in (2, 3))]
    assert refused(turn) == [CROWDED] * 2
    assert turn.events == [TaskMoved(first, None, TaskStatus.PENDING), *[TaskRefused(ANN, "waiting")] * 2]
    assert list(turn.batch.tasks) == list(turn.batch.story) == [first.id]
    plane.turn(away(second, third))
    assert plane.core._scheduler.waiting(LINE) == 1


def test_what_waits_still_is_claimed_although_a_claim_that_counted_on_more_came_short() -> None:
    plane = Plane(TWO)
    plane.connect(1, slots=0)
    more_slots = WorkerSpoke(1, (Heartbeat(WorkerStatus.IDLE, 0, 3),))
    turn = plane.turn(*(plane.request() for _ in range(3)), more_slots)
    tasks = made(turn)
    [claim] = claims(turn)
    assert claim.limit == 3
    turn = plane.turn(away(*tasks), plane.request(), TasksClaimed(claim, ()))
    assert [claim.limit for claim in claims(turn)] == [1]


def test_what_another_has_and_what_is_turned_away_go_together() -> None:
    plane = Plane(TWO)
    keyed = plane.request(idempotency_key="k")
    turn = plane.turn(KeyFound(find(plane.turn(keyed)), None), plane.request())
    theirs, mine = made(turn)
    assert commit(turn, away(mine), Disowned((theirs.id,))) == [keyed]
    assert refused(turn) == [CROWDED]
    assert made(turn) == []


# Under idempotency keys.


def test_all_who_ask_for_the_same_under_a_key_are_refused_and_the_key_is_free_again() -> None:
    plane = Plane(TWO)
    requests = [plane.request(idempotency_key="k") for _ in range(3)]
    turn = plane.turn(KeyFound(find(plane.turn(*requests)), None))
    [task] = {task.id: task for task in made(turn)}.values()
    assert commit(turn, away(task)) == []
    assert refused(turn) == [CROWDED] * 3
    assert made(plane.turn(KeyFound(find(plane.turn(away(task), requests[0])), None)))


def test_who_asks_for_something_else_under_the_key_is_heard_again() -> None:
    plane = Plane(TWO)
    first, other = plane.request(idempotency_key="k"), plane.request(agent="other", idempotency_key="k")
    turn = plane.turn(KeyFound(find(plane.turn(first, other)), None))
    assert [reply for reply, _ in turn.replies] == [first.reply, other.reply]
    [task] = turn.batch.tasks.values()
    again = commit(turn, away(task))
    assert again == [other]
    assert [reply for reply, _ in turn.replies] == [first.reply]
    turn = plane.turn(KeyFound(find(plane.turn(away(task), *again)), None))
    assert [task.spec for task in made(turn)] == [other.spec]


# Under a rate as well.

BOTH = Limit("client", waiting=2, per_minute=60)


def asked(turn: Turn) -> TakeRate:
    [ask] = turn.batch.asks
    assert isinstance(ask, TakeRate)
    return ask


def test_who_asks_for_a_rate_says_where_it_would_wait() -> None:
    plane = Plane(BOTH).near(ANN, 60)
    ask = asked(plane.turn(plane.request()))
    assert (ask.accounts, ask.waiting) == (((ANN, 60),), ((ANN, 2),))
    turn = plane.turn(RateTaken(ask, 1))
    assert turn.batch.waiting == {made(turn)[0].id: ((ANN, 2),)}


def test_who_has_a_slot_and_who_would_wait_ask_apart() -> None:
    plane = Plane(BOTH).near(ANN, 60)
    plane.connect(1, slots=1)
    turn = plane.turn(plane.request(), plane.request())
    assert [ask.waiting for ask in turn.batch.asks if isinstance(ask, TakeRate)] == [(), ((ANN, 2),)]


def test_who_finds_no_room_to_wait_is_refused_for_that_and_no_other_has_to_wait_for_a_rate() -> None:
    plane = Plane(BOTH).near(ANN, 60)
    ask = asked(plane.turn(plane.request(), plane.request()))
    turn = plane.turn(RateTaken(ask, 1, ANN, waiting=2))
    assert (len(made(turn)), refused(turn)) == (1, [CROWDED])
    assert asked(plane.turn(plane.request())).wanted == 1


def test_who_loses_its_slot_before_its_rate_is_known_waits_as_all_others_may() -> None:
    plane = Plane(BOTH).near(ANN, 60)
    plane.connect(1, slots=1)
    turn = plane.turn(RateTaken(asked(plane.turn(plane.request(), WorkerGone(1))), 1))
    assert list(turn.batch.waiting) == [task.id for task in made(turn)]


@pytest.mark.parametrize("count", [1, 3000])
def test_all_who_ask_for_the_same_under_a_key_are_refused_with_the_first(count: int) -> None:
    plane = Plane(BOTH).near(ANN, 60)
    requests: list[CreateTask] = [plane.request(idempotency_key="k") for _ in range(count)]
    ask = asked(plane.turn(KeyFound(find(plane.turn(*requests)), None)))
    turn = plane.turn(RateTaken(ask, 0, ANN, waiting=2))
    assert refused(turn) == [CROWDED] * count
    assert not turn.batch
