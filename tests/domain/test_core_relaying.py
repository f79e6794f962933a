"""Messages for runs that another control plane has: what is left for it, and what others have left for runs here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.domain.batch import ClaimRuns, Disowned, RunsClaimed
from taskrun.domain.control_plane.inputs import (
    ConnectWorker,
    ContinueTask,
    MessagesAnswered,
    MessagesLeft,
    TasksInherited,
    WorkerGone,
    WorkerSpoke,
)
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.conversation import message_id
from taskrun.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    TaskRunError,
    Unavailable,
    Unconfirmed,
)
from taskrun.domain.protocol import FEATURES, RESUME, ContinueRun, Hello, LiveRun, RunReport
from taskrun.domain.records import AgentSpec, RunMessage, Task, WorkerInfo
from taskrun.domain.relayed import (
    AnswerMessage,
    ClaimMessages,
    CollectMessage,
    MessageAnswered,
    MessageCollected,
    MessageRelayed,
    MessagesClaimed,
    Refusal,
    RelayedMessage,
    RelayMessage,
)
from taskrun.domain.status import ChatRole, RunStatus, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers
from tests.domain.test_core_replicas import RUN as BARE_RUN
from tests.domain.test_core_replicas import TASK as BARE_TASK
from tests.domain.test_core_replicas import Plane

PATIENCE = ControlPlaneTimers().follow_up
RUN = replace(BARE_RUN, session_id="s-1")
TASK = replace(BARE_TASK, runs=(RUN,))
ID = message_id("ann", "k", "more")
LEFT = RelayMessage(ID, "t", "run-1", "more")
COLLECT = CollectMessage(ID, "t")
MESSAGE = RelayedMessage(7, "m", "t", "run-1", "more")
NEXT = replace(RUN, id="run-2", attempt=2)
ENDED = replace(TASK, status=TaskStatus.COMPLETED)
#: What a worker knows that takes no messages.
OLD = frozenset({RESUME})


def taken(task: Task, id: str) -> Task:
    return replace(task, runs=(replace(task.runs[0], taken=(id,)),))


@pytest.fixture
def plane() -> Plane:
    return Plane()


# Asked here, for a run that is elsewhere.


def ask(reply: int = 1, message: str = "more", *, task: Task = TASK, fork: bool = False) -> ContinueTask:
    return ContinueTask(reply, task, message, "ann", fork, "k")


def waits(plane: Plane) -> None:
    """Somebody's message is left."""
    assert plane.turn(ask()).batch.asks == [LEFT]
    assert plane.turn(MessageRelayed(LEFT, relayed=True)).replies == []


def outcomes(turn: Turn) -> list[tuple[object, type, str]]:
    """Who was answered, with a task or with an error, and its id or text."""
    return [
        (reply, type(value), value.id if isinstance(value, Task) else str(value).partition(":")[0])
        for reply, value in turn.replies
    ]


def test_a_message_for_a_run_that_is_elsewhere_is_left_there_and_its_sender_answered_with_what_came_of_it(
    plane: Plane,
) -> None:
    waits(plane)
    assert plane.turn(MessagesAnswered([ID])).batch.asks == [COLLECT]
    task = taken(TASK, ID)
    assert plane.turn(MessageCollected(COLLECT, task, claimed=True)).replies == [(1, task)]
    plane.mono += PATIENCE
    turn = plane.turn(MessagesAnswered([ID]))
    assert (turn.batch.asks, turn.replies) == ([], [])


@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        (MessageCollected(COLLECT, taken(ENDED, ID), claimed=True), Task, "t"),
        (MessageCollected(COLLECT, None), NotFound, "There is no task t."),
        (
            MessageCollected(COLLECT, TASK, claimed=True, refusal=Refusal("ResourceExhausted", "too many")),
            ResourceExhausted,
            "too many",
        ),
        (
            MessageCollected(COLLECT, ENDED, claimed=True),
            FailedPrecondition,
            "The run of task t ended before its worker took the message",
        ),
        (
            MessageCollected(COLLECT, replace(TASK, runs=(RUN, NEXT))),
            FailedPrecondition,
            "The run of task t ended before its worker took the message",
        ),
        (
            MessageCollected(COLLECT, TASK, claimed=True),
            Unconfirmed,
            "The control plane that has task t has not confirmed in time that its run takes the message. "
            "It may do so still",
        ),
        (
            MessageCollected(COLLECT, TASK),
            Unavailable,
            "The control plane that has task t has not heard of the message in time",
        ),
    ],
)
def test_who_hears_nothing_in_time_is_told_what_is_known(
    plane: Plane, answer: MessageCollected, kind: type, why: str
) -> None:
    waits(plane)
    assert plane.core.next_deadline() == PATIENCE
    plane.mono += PATIENCE
    assert plane.turn().batch.asks == [COLLECT]
    assert plane.turn(MessagesAnswered([ID])).batch.asks == []
    assert outcomes(plane.turn(answer)) == [(1, kind, why)]
    assert plane.core.next_deadline() is None


def test_a_message_whose_task_was_no_other_s_is_not_left(plane: Plane) -> None:
    plane.turn(ask())
    [(reply, error)] = plane.turn(MessageRelayed(LEFT, relayed=False)).replies
    assert (reply, type(error)) == (1, Unavailable)
    assert plane.core.next_deadline() is None


def test_what_is_asked_again_under_its_key_is_left_once_and_all_are_answered(plane: Plane) -> None:
    waits(plane)
    assert plane.turn(ask(2)).batch.asks == []
    plane.turn(MessagesAnswered([ID]))
    assert plane.turn(ask(3)).batch.asks == []
    task = taken(TASK, ID)
    assert plane.turn(MessageCollected(COLLECT, task)).replies == [(1, task), (2, task), (3, task)]


def test_what_is_known_already_is_left_nowhere(plane: Plane) -> None:
    task = taken(TASK, ID)
    turn = plane.turn(ask(task=task), ask(2, "something else", task=task), ask(3, fork=True))
    assert turn.batch.asks == []
    assert [reply for reply, _ in turn.replies] == [1, 2, 3]
    (_, same), (_, other), (_, copy) = turn.replies
    assert same is task
    assert isinstance(other, AlreadyExists)
    assert isinstance(copy, FailedPrecondition)


# Left elsewhere, for a run that is here.


@pytest.fixture
def owner(plane: Plane) -> Plane:
    """It has the run, and its worker is on stream 1."""
    come(plane, 1)
    turn = plane.turn(RunsClaimed(ClaimRuns(1, "w"), (TASK,)))
    assert turn.replies == [(1, 1)]
    return plane


def come(plane: Plane, session: int, features: frozenset[str] = frozenset(FEATURES)) -> Turn:
    info = WorkerInfo(agents=(AgentSpec("echo"),))
    hello = Hello(info, features, 5, "", "p", (LiveRun("run-1", 9),))
    return plane.turn(ConnectWorker(session, session, "w", hello))


def claimed(plane: Plane, *messages: RelayedMessage) -> Turn:
    return plane.turn(MessagesClaimed(ClaimMessages(), messages))


def orders(turn: Turn, session: int = 1) -> list[ContinueRun]:
    return [message for message in turn.sends.get(session, ()) if isinstance(message, ContinueRun)]


def confirm(plane: Plane, id: str = "m", session: int = 1) -> Turn:
    return plane.turn(WorkerSpoke(session, [RunMessage("run-1", ChatRole.USER, "more", seq=7, id=id)]))


ORDER = ContinueRun("run-1", "more", "m")


def test_a_message_that_was_left_is_claimed_passed_on_and_answered_with_what_the_task_tells(owner: Plane) -> None:
    assert owner.turn(MessagesLeft()).batch.asks == [ClaimMessages()]
    turn = claimed(owner, MESSAGE)
    assert (orders(turn), turn.batch.asks, turn.replies) == ([ORDER], [], [])
    turn = confirm(owner)
    assert turn.batch.tasks["t"].runs[0].taken == ("m",)
    assert turn.batch.asks == [AnswerMessage(MESSAGE)]
    assert owner.turn(MessageAnswered(AnswerMessage(MESSAGE))).batch.asks == []


def test_what_was_taken_already_is_answered_and_not_sent_again(owner: Plane) -> None:
    claimed(owner, MESSAGE)
    other = replace(MESSAGE, sender=8)
    turn = claimed(owner, other)
    assert orders(turn) == []
    assert confirm(owner).batch.asks == [AnswerMessage(MESSAGE), AnswerMessage(other)]
    assert claimed(owner, MESSAGE).batch.asks == [AnswerMessage(MESSAGE)]


def refused(turn: Turn, kind: type[TaskRunError], why: str) -> None:
    [answer] = turn.batch.asks
    assert isinstance(answer, AnswerMessage)
    assert answer.refusal is not None
    error = answer.refusal.error()
    assert type(error) is kind
    assert why in error.message


def test_a_run_that_cannot_take_it_refuses_it(owner: Plane) -> None:
    owner.turn(WorkerGone(1))
    refused(claimed(owner, MESSAGE), Unavailable, "is away for the moment")
    come(owner, 2, OLD)
    refused(claimed(owner, MESSAGE), FailedPrecondition, "takes no messages for a run that goes on")


def test_a_key_that_was_used_for_another_message_is_refused(owner: Plane) -> None:
    claimed(owner, replace(MESSAGE, id=ID))
    refused(claimed(owner, replace(MESSAGE, id=message_id("ann", "k", "else"))), AlreadyExists, "another message")


def test_a_run_that_ends_first_refuses_it(owner: Plane) -> None:
    claimed(owner, MESSAGE)
    turn = owner.turn(WorkerSpoke(1, [RunReport("run-1", RunStatus.COMPLETED, seq=7)]))
    refused(turn, FailedPrecondition, "ended before its worker took the message")


def test_a_worker_that_does_not_confirm_leaves_it_open(owner: Plane) -> None:
    claimed(owner, MESSAGE)
    owner.mono += PATIENCE
    refused(owner.turn(), Unconfirmed, "has not confirmed in time")


@pytest.mark.parametrize("message", [replace(MESSAGE, task_id="u"), replace(MESSAGE, run_id="run-0")])
def test_a_message_for_a_run_that_is_over_is_left_to_the_task_to_tell(owner: Plane, message: RelayedMessage) -> None:
    turn = claimed(owner, message)
    assert (turn.batch.asks, turn.sends) == ([AnswerMessage(message)], {})


def test_who_loses_the_run_to_another_leaves_what_was_relayed_to_that_one_too(owner: Plane) -> None:
    claimed(owner, MESSAGE)
    owner.turn(ContinueTask(5, TASK, "mine", "bob"))
    turn = owner.turn(Disowned(("t",)))
    assert turn.batch.asks == []
    assert [(reply, type(error)) for reply, error in turn.replies] == [(5, Unconfirmed)]


AGAIN = replace(MESSAGE, again=True)


def test_who_has_the_run_next_waits_with_its_worker_for_what_may_have_been_passed_on(plane: Plane) -> None:
    plane.turn(TasksInherited([TASK]))
    turn = claimed(plane, AGAIN)
    assert (turn.batch.asks, turn.sends) == ([], {})
    assert ORDER in come(plane, 1).sends[1]
    assert confirm(plane).batch.asks == [AnswerMessage(AGAIN)]


def test_of_what_may_have_been_passed_on_it_is_never_said_that_it_was_not(owner: Plane) -> None:
    claimed(owner, AGAIN)
    owner.mono += PATIENCE
    assert owner.turn().batch.asks == [AnswerMessage(AGAIN)]
    owner.turn(WorkerGone(1))
    come(owner, 2, OLD)
    assert claimed(owner, AGAIN).batch.asks == [AnswerMessage(AGAIN)]


def test_a_run_that_comes_to_where_its_message_was_left_answers_at_once(plane: Plane) -> None:
    waits(plane)
    message = RelayedMessage(1, ID, "t", "run-1", "more")
    assert plane.turn(MessageAnswered(AnswerMessage(message))).batch.asks == [COLLECT]


# Refusals.


def test_a_refusal_stands_for_its_error() -> None:
    for error in (AlreadyExists("a"), FailedPrecondition("b"), ResourceExhausted("c"), Unavailable("d")):
        again = Refusal.of(error).error()
        assert (type(again), again.message) == (type(error), error.message)


def test_a_refusal_of_a_kind_that_is_not_known_leaves_open_what_happened() -> None:
    assert type(Refusal("Strange", "why").error()) is Unconfirmed
