"""Messages for the agents of tasks, which run or have ended."""

from __future__ import annotations

import pytest

from taskrun.domain.batch import Disowned
from taskrun.domain.control_plane.inputs import ContinueTask, DrainStarted, TasksInherited, WorkerSpoke
from taskrun.domain.conversation import FOLLOW_UP_WAIT_MS, MAX_TAKEN
from taskrun.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    ResourceExhausted,
    TaskRunError,
    Unavailable,
    Unconfirmed,
)
from taskrun.domain.protocol import BATCH, RESUME, AssignRun, CancelRun, ContinueRun, Heartbeat, LiveRun, RunReport
from taskrun.domain.records import AgentSpec, RunEvent, RunMessage, Task, WorkerInfo, WorkerView
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus, WorkerStatus
from taskrun.testing.simulation import NEW, Simulation

SESSION = {"session_id": "s-1"}


class Talker:
    """A worker with a run whose agent has a session."""

    def __init__(self, sim: Simulation, *, opened: bool = True, max_attempts: int = 3) -> None:
        self.sim = sim
        self.session = sim.connect("w1", process="p1")
        self.task_id = sim.create(max_attempts=max_attempts).id
        self.run_id = sim.assigned(self.session).run_id
        self.seq = 0
        self.report(RunStatus.RUNNING)
        if opened:
            self.event(**SESSION)

    def report(self, status: RunStatus, session_id: str = "") -> None:
        self.sim.say(self.session, RunReport(self.run_id, status, session_id=session_id, seq=self._next()))

    def event(self, **metadata: str) -> None:
        event = RunEvent(self.run_id, RunEventType.SESSION_INITIALIZED, metadata, seq=self._next())
        self.sim.say(self.session, event)

    def confirm(self, id: str, message: str = "more", role: ChatRole = ChatRole.USER) -> None:
        self.sim.say(self.session, RunMessage(self.run_id, role, message, seq=self._next(), id=id))

    def take(self, *, key: str = "", message: str = "more") -> Task:
        """Somebody says more, and the worker takes it."""
        reply = self.sim.say_more(self.task_id, message, key=key)
        self.confirm(self.order.id, message)
        return answered(self.sim, reply)

    def come_back(self) -> None:
        self.session = self.sim.connect("w1", process="p1", live_runs=[LiveRun(self.run_id, self.seq)])

    @property
    def order(self) -> ContinueRun:
        """The one message that was sent to it since the last look."""
        [order] = self.orders
        return order

    @property
    def orders(self) -> list[ContinueRun]:
        return [word for word in self.sim.heard(self.session) if isinstance(word, ContinueRun)]

    @property
    def task(self) -> Task:
        return self.sim.task(self.task_id)

    @property
    def said(self) -> list[tuple[ChatRole, str]]:
        bodies = [entry.body for entry in self.sim.story(self.task_id)]
        return [(body.role, body.content) for body in bodies if isinstance(body, RunMessage)]

    def _next(self) -> int:
        self.seq += 1
        return self.seq - 1


def answered(sim: Simulation, reply: int) -> Task:
    task = sim.answer(reply)
    assert task is not None
    return task


@pytest.fixture
def talker(sim: Simulation) -> Talker:
    return Talker(sim)


@pytest.fixture
def talked(talker: Talker) -> Talker:
    """The same, at its end."""
    talker.report(RunStatus.COMPLETED, "s-1")
    return talker


# A task that has ended.


def test_a_follow_up_is_a_new_task_in_the_session_on_the_worker_that_holds_it(talked: Talker) -> None:
    sim = talked.sim
    other = sim.connect("w2")
    before = talked.task
    task = answered(sim, sim.say_more(talked.task_id, "and then?", fork=True))
    run = sim.assigned(talked.session)
    assert (task.id, task.status) == (run.task_id, TaskStatus.RUNNING)
    assert (run.input_json, run.session_id, run.fork) == ('"and then?"', "s-1", True)
    assert task.spec.continues is not None
    assert task.spec.continues.task_id == talked.task_id
    assert sim.task(talked.task_id) == before
    assert not [word for word in sim.heard(other) if isinstance(word, AssignRun)]


def test_a_run_without_a_session_is_told_to_open_one(talked: Talker) -> None:
    talked.sim.heard(talked.session)
    talked.sim.create()
    run = talked.sim.assigned(talked.session)
    assert (run.session_id, run.fork) == ("", False)


def test_no_worker_makes_itself_the_holder_of_a_session_by_what_it_says(talked: Talker) -> None:
    thief = talked.sim.connect("thief", labels={"taskrun.worker": "w1"})
    talked.sim.vanish(talked.session)
    task = answered(talked.sim, talked.sim.say_more(talked.task_id))
    assert task.status is TaskStatus.PENDING
    assert not [word for word in talked.sim.heard(thief) if isinstance(word, AssignRun)]


def test_a_worker_that_may_come_back_is_waited_for_and_one_without_a_slot_but_not_for_ever(talked: Talker) -> None:
    sim = talked.sim
    sim.vanish(talked.session)
    first, second = (answered(sim, sim.say_more(talked.task_id)) for _ in range(2))
    session = sim.connect("w1", process="p1", slots=1)
    run = sim.assigned(session)
    assert run.task_id == first.id
    sim.say(session, RunReport(run.run_id, RunStatus.RUNNING, seq=0))
    for _ in range(FOLLOW_UP_WAIT_MS // 10_000):
        sim.wait(10)
        sim.say(session, Heartbeat(WorkerStatus.BUSY, 1, 1))
    assert sim.task(first.id).status is TaskStatus.RUNNING
    assert sim.task(second.id).failure is FailureKind.QUEUE_TIMEOUT


@pytest.mark.parametrize(
    ("agents", "features", "why"),
    [
        ((), NEW, "which is not connected"),
        (("other",), NEW, "which does not offer the agent echo any more"),
        (("echo",), frozenset({BATCH, RESUME}), "which has a version of TaskRun that cannot go on"),
    ],
)
def test_who_cannot_be_answered_is_told_so_at_once(
    talked: Talker, agents: tuple[str, ...], features: frozenset[str], why: str
) -> None:
    sim = talked.sim
    sim.vanish(talked.session)
    sim.wait(sim.timers.grace)
    if agents:
        sim.connect("w1", agents, features=features)
    with pytest.raises(FailedPrecondition, match=f"The session of task {talked.task_id} is with the worker w1, {why}"):
        sim.answer(sim.say_more(talked.task_id))
    assert len(sim.store.tasks) == 1


@pytest.mark.parametrize(("agent", "there"), [("echo", True), ("other", False)])
def test_a_worker_that_is_with_another_control_plane_is_there_too(talked: Talker, agent: str, there: bool) -> None:
    sim = talked.sim
    sim.vanish(talked.session)
    sim.wait(sim.timers.grace)
    view = WorkerView("w1", WorkerInfo(agents=(AgentSpec(agent),)), WorkerStatus.IDLE, 0, 1, 0, 0)
    reply = sim.say_more(talked.task_id, elsewhere=view)
    if there:
        assert answered(sim, reply).status is TaskStatus.PENDING
    else:
        with pytest.raises(FailedPrecondition, match="does not offer the agent echo any more"):
            sim.answer(reply)


def test_of_a_worker_that_is_awaited_since_a_restart_nothing_is_known_and_it_is_waited_for(talked: Talker) -> None:
    sim = talked.sim
    answered(sim, sim.say_more(talked.task_id))
    sim.restart()
    assert answered(sim, sim.say_more(talked.task_id)).status is TaskStatus.PENDING


def test_what_had_no_session_cannot_be_gone_on_with(sim: Simulation) -> None:
    talker = Talker(sim, opened=False)
    talker.report(RunStatus.COMPLETED)
    with pytest.raises(FailedPrecondition, match="has no session to go on with"):
        sim.answer(sim.say_more(talker.task_id))


def test_a_session_that_was_opened_can_be_gone_on_with_although_the_run_failed(sim: Simulation) -> None:
    talker = Talker(sim, max_attempts=1)
    talker.report(RunStatus.FAILED, "s-1")
    assert answered(sim, sim.say_more(talker.task_id)).status is TaskStatus.RUNNING
    assert sim.assigned(talker.session).session_id == "s-1"


def test_a_session_that_was_opened_and_is_not_kept_cannot_be_gone_on_with(sim: Simulation) -> None:
    talker = Talker(sim, max_attempts=1)
    talker.report(RunStatus.FAILED)
    with pytest.raises(FailedPrecondition, match="has no session to go on with"):
        sim.answer(sim.say_more(talker.task_id))


def test_a_session_of_a_run_that_was_lost_may_be_there_when_its_worker_is_there_again(sim: Simulation) -> None:
    talker = Talker(sim, max_attempts=1)
    session = sim.connect("w1", process="p2")
    assert talker.task.status is TaskStatus.FAILED
    answered(sim, sim.say_more(talker.task_id))
    assert sim.assigned(session).session_id == "s-1"


def test_a_key_makes_one_follow_up_also_when_its_worker_is_gone_by_then(talked: Talker) -> None:
    sim = talked.sim
    first = answered(sim, sim.say_more(talked.task_id, key="k"))
    sim.vanish(talked.session)
    sim.wait(sim.timers.grace)
    assert answered(sim, sim.say_more(talked.task_id, key="k")).id == first.id
    with pytest.raises(AlreadyExists, match="another request"):
        sim.answer(sim.say_more(talked.task_id, "something else", key="k"))
    with pytest.raises(FailedPrecondition):
        sim.answer(sim.say_more(talked.task_id, key="l"))


# A task that runs.


def test_a_message_is_sent_and_its_sender_answered_when_the_worker_has_taken_it(talker: Talker) -> None:
    sim = talker.sim
    reply = sim.say_more(talker.task_id, "and then?")
    order = talker.order
    assert (order.run_id, order.message) == (talker.run_id, "and then?")
    assert sim.answer(reply) is None
    talker.confirm(order.id, "and then?")
    task = answered(sim, reply)
    assert task == talker.task
    assert (task.id, task.runs[0].taken) == (talker.task_id, (order.id,))
    assert talker.said == [(ChatRole.USER, "and then?")]


def test_only_the_confirmation_answers(talker: Talker) -> None:
    reply = talker.sim.say_more(talker.task_id)
    id = talker.order.id
    talker.confirm("another")
    talker.confirm("")
    talker.confirm(id, role=ChatRole.ASSISTANT)
    assert talker.sim.answer(reply) is None
    talker.confirm(id)
    assert answered(talker.sim, reply).runs[0].taken == ("another", id)


def test_a_confirmation_counts_also_when_the_story_takes_no_more(
    talker: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskrun.domain.control_plane.hearing.MAX_OUTPUT_BYTES", 0)
    assert talker.take().runs[0].taken
    assert talker.said == []


def test_a_worker_whose_runs_end_with_its_stream_confirms_too(sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sim.connect()
    task = sim.create()
    run_id = sim.assigned(session).run_id
    monkeypatch.setattr("taskrun.domain.control_plane.hearing.MAX_OUTPUT_BYTES", 0)
    sim.say(session, RunEvent(run_id, RunEventType.SESSION_INITIALIZED, SESSION))
    reply = sim.say_more(task.id)
    [order] = [word for word in sim.heard(session) if isinstance(word, ContinueRun)]
    assert (order.run_id, order.message, order.timestamp_ms) == (run_id, "more", sim.now.utc_ms)
    sim.say(session, RunMessage(run_id, ChatRole.USER, "more", id=order.id))
    assert answered(sim, reply).runs[0].taken == sim.task(task.id).runs[0].taken == (order.id,)


def test_who_hears_nothing_in_time_is_told_that_nobody_knows(talker: Talker) -> None:
    sim = talker.sim
    reply = sim.say_more(talker.task_id)
    id = talker.order.id
    sim.wait(sim.timers.follow_up - 0.1)
    assert sim.answer(reply) is None
    sim.wait(0.1)
    with pytest.raises(Unconfirmed, match=f"w1 has not confirmed in time that task {talker.task_id} takes the message"):
        sim.answer(reply)
    talker.confirm(id)
    assert talker.said == [(ChatRole.USER, "more")]


def test_a_message_that_got_lost_with_the_stream_is_sent_again_on_the_next(talker: Talker) -> None:
    sim = talker.sim
    reply = sim.say_more(talker.task_id)
    order = talker.order
    sim.vanish(talker.session)
    sim.wait(5)
    talker.come_back()
    assert talker.order == order
    talker.confirm(order.id)
    assert sim.answer(reply) is not None
    sim.wait(sim.timers.follow_up)


@pytest.mark.parametrize("end", ["completed", "lost"])
def test_when_the_run_ends_first_the_sender_hears_that_nothing_was_said(sim: Simulation, end: str) -> None:
    talker = Talker(sim, max_attempts=1)
    reply = sim.say_more(talker.task_id)
    if end == "completed":
        talker.report(RunStatus.COMPLETED, "s-1")
    else:
        sim.connect("w1", process="p2")
    with pytest.raises(FailedPrecondition, match="ended before its worker took the message: nothing of it was said"):
        sim.answer(reply)
    sim.wait(sim.timers.follow_up)


def test_when_another_control_plane_has_the_task_the_sender_hears_that_nobody_knows(talker: Talker) -> None:
    sim = talker.sim
    reply = sim.say_more(talker.task_id)
    turn = sim.core.handle([Disowned((talker.task_id,))], sim.now)
    assert [to for to, _ in turn.replies] == [reply]
    [(_, error)] = turn.replies
    assert isinstance(error, Unconfirmed)
    assert f"Another control plane has task {talker.task_id} now" in error.message
    # It comes back.
    sim.core.handle([TasksInherited([talker.task])], sim.now)
    sim.mono += sim.timers.follow_up
    assert sim.core.handle([], sim.now).replies == []
    sim.restart()


def test_a_confirmation_that_was_not_stored_is_not_told(talker: Talker) -> None:
    sim = talker.sim
    reply = sim.say_more(talker.task_id)
    confirmed = RunMessage(talker.run_id, ChatRole.USER, "more", seq=2, id=talker.order.id)
    turn = sim.core.handle([WorkerSpoke(talker.session, [confirmed])], sim.now)
    assert [to for to, _ in turn.replies] == [reply]
    [again] = turn.take_back([talker.task_id])
    assert (again.reply, turn.replies) == (reply, [])
    sim.restart()


def test_a_control_plane_that_begins_anew_hears_the_confirmation_and_knows_the_key(talker: Talker) -> None:
    sim = talker.sim
    sim.say_more(talker.task_id, key="k")
    id = talker.order.id
    sim.restart()
    talker.come_back()
    talker.confirm(id)
    assert talker.said == [(ChatRole.USER, "more")]
    assert answered(sim, sim.say_more(talker.task_id, key="k")) == talker.task
    sim.restart()
    talker.come_back()
    assert talker.task.runs[0].session_id == "s-1"
    assert talker.take(message="again").runs[0].taken[0] == id


def test_a_key_is_sent_once_and_answers_all_who_ask_with_it(talker: Talker) -> None:
    sim = talker.sim
    first, second = (sim.say_more(talker.task_id, key="k") for _ in range(2))
    with pytest.raises(AlreadyExists, match="another message"):
        sim.answer(sim.say_more(talker.task_id, "something else", key="k"))
    talker.confirm(talker.order.id)
    third = sim.say_more(talker.task_id, key="k")
    assert {answered(sim, reply).id for reply in (first, second, third)} == {talker.task_id}
    with pytest.raises(AlreadyExists, match="another message"):
        sim.answer(sim.say_more(talker.task_id, "something else", key="k"))
    assert talker.orders == []


def test_a_key_that_a_run_has_taken_makes_no_task_after_its_end(talker: Talker) -> None:
    talker.take(key="k")
    talker.report(RunStatus.COMPLETED, "s-1")
    assert answered(talker.sim, talker.sim.say_more(talker.task_id, key="k")) == talker.task
    assert len(talker.sim.store.tasks) == 1


def test_a_run_that_is_tried_again_says_that_what_it_took_is_not_said_again(talker: Talker) -> None:
    talker.take()
    talker.sim.connect("w1", process="p2")
    assert talker.said[1:] == [
        (
            ChatRole.SYSTEM,
            "This run is tried again from the task's input: what it was told since then is not said again.",
        )
    ]


# What is refused.


def refused(talker: Talker, kind: type[TaskRunError], why: str, *, fork: bool = False) -> None:
    reply = talker.sim.say_more(talker.task_id, fork=fork)
    with pytest.raises(kind, match=why):
        talker.sim.answer(reply)


def test_a_conversation_that_goes_on_cannot_be_copied(talker: Talker) -> None:
    refused(talker, FailedPrecondition, "runs still", fork=True)


def test_a_task_that_is_being_stopped_takes_nothing(talker: Talker) -> None:
    talker.sim.cancel(talker.task_id)
    refused(talker, FailedPrecondition, "is being stopped")
    assert [type(word) for word in talker.sim.heard(talker.session)][-1] is CancelRun


def test_a_worker_that_is_away_takes_nothing(talker: Talker) -> None:
    talker.sim.vanish(talker.session)
    refused(talker, Unavailable, "The worker w1, which runs task 00000001, is away for the moment")


def test_a_worker_that_knows_no_follow_ups_takes_nothing(sim: Simulation) -> None:
    session = sim.connect(features=frozenset({BATCH}))
    task = sim.create()
    reply = sim.say_more(task.id)
    with pytest.raises(FailedPrecondition, match="w1 takes no messages for a run that goes on"):
        sim.answer(reply)
    assert not [word for word in sim.heard(session) if isinstance(word, ContinueRun)]


@pytest.mark.parametrize("session_id", ["", "x" * 256])
def test_an_agent_without_a_session_takes_nothing(sim: Simulation, session_id: str) -> None:
    talker = Talker(sim, opened=False)
    talker.event(session_id=session_id)
    refused(talker, FailedPrecondition, "has no session so far")


def test_a_run_takes_so_many_messages_and_no_more(talker: Talker) -> None:
    for number in range(MAX_TAKEN):
        talker.confirm(str(number))
    talker.confirm("one too many")
    assert len(talker.task.runs[0].taken) == MAX_TAKEN
    refused(talker, ResourceExhausted, "has taken 100 messages")


def test_a_task_that_waits_has_no_conversation_yet(sim: Simulation) -> None:
    reply = sim.say_more(sim.create().id)
    with pytest.raises(FailedPrecondition, match="waits still"):
        sim.answer(reply)


def test_a_task_that_has_ended_since_it_was_looked_at_is_asked_for_again(talker: Talker) -> None:
    sim, before = talker.sim, talker.task
    talker.report(RunStatus.COMPLETED, "s-1")
    sim.turn(ContinueTask("late", before, "more", "client:test"))
    refusal = sim.replies["late"]
    assert isinstance(refusal, Unavailable)
    assert "between two steps" in refusal.message


def test_who_drains_takes_no_messages(talked: Talker) -> None:
    talked.sim.turn(DrainStarted())
    refused(talked, Unavailable, "shutting down")
