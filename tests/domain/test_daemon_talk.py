"""The turns of a run: an agent with a session is asked again what came while it was at work."""

from __future__ import annotations

from taskrun.domain.conversation import MAX_TAKEN
from taskrun.domain.daemon.effects import Effect, StartAgent, StopAgent
from taskrun.domain.daemon.news import AgentEnded
from taskrun.domain.protocol import AssignRun, CancelRun, ContinueRun, RunDirective, RunReport
from taskrun.domain.records import RunMessage, Usage
from taskrun.domain.status import ChatRole, FailureKind, RunStatus, Verdict
from tests.domain.rig import BROKEN, Resuming, Rig


def more(message: str = "more", id: str = "m-1") -> ContinueRun:
    return ContinueRun("r", message, id)


def ended(
    rig: Rig, session_id: str = "s", status: RunStatus = RunStatus.COMPLETED, said: str = "", usage: Usage | None = None
) -> list[Effect]:
    return rig.feed(AgentEnded(RunReport("r", status, usage=usage, session_id=session_id), said))


def running(timeout_ms: int = 0) -> Rig:
    rig = Rig(slots=1)
    rig.assign("r", timeout_ms)
    rig.sent()
    return rig


def test_a_message_is_confirmed_at_once_and_heard_in_the_session_when_the_turn_is_over() -> None:
    rig = running()
    assert rig.hear(more()) == []
    assert rig.sent() == [RunMessage("r", ChatRole.USER, "more", seq=1, id="m-1")]
    (start,) = ended(rig, said="done")
    assert isinstance(start, StartAgent)
    assert start.run == AssignRun("r", "task-r", "echo", '"more"', session_id="s")
    assert rig.sent() == [RunMessage("r", ChatRole.ASSISTANT, "done", seq=2)]
    assert ended(rig, "s2", said="done again") == []
    assert rig.sent() == [
        RunMessage("r", ChatRole.ASSISTANT, "done again", seq=3),
        RunReport("r", RunStatus.COMPLETED, session_id="s2", seq=4),
    ]


def test_messages_are_heard_one_a_turn_in_their_order_and_the_slot_stays_taken() -> None:
    rig = running()
    rig.hear(more("one", "1"), more("two", "2"))
    turns = []
    while effects := ended(rig):
        (start,) = effects
        assert isinstance(start, StartAgent)
        turns.append(start.run.input_json)
        rig.sent()
        assert rig.hear(AssignRun("other", "t", "echo", "1")) == []
        (refusal,) = rig.sent()
        assert isinstance(refusal, RunReport)
        assert refusal.failure is FailureKind.REJECTED
    assert turns == ['"one"', '"two"']


def test_a_message_that_comes_twice_is_taken_once_and_one_without_an_id_each_time() -> None:
    rig = running()
    rig.hear(more(), more(), more("old", ""), more("old", ""))
    assert [word.content for word in rig.sent() if isinstance(word, RunMessage)] == ["more", "old", "old"]


def test_a_run_takes_so_many_messages_and_no_more() -> None:
    rig = running()
    rig.hear(*(more(id=str(number)) for number in range(MAX_TAKEN + 1)))
    assert len(rig.sent()) == MAX_TAKEN


def test_what_the_turns_consumed_is_summed() -> None:
    rig = running()
    rig.hear(more("one", "1"), more("two", "2"))
    ended(rig, usage=Usage(1, 2, 3, 4, 0.5))
    ended(rig)
    ended(rig, usage=Usage(10, 20, 30, 40, 1.0))
    last = rig.sent()[-1]
    assert isinstance(last, RunReport)
    assert last.usage == Usage(11, 22, 33, 44, 1.5)


def test_a_turn_that_fails_is_the_last_and_says_what_the_agent_did_not_hear() -> None:
    rig = running()
    rig.hear(more("one", "1"), more("two", "2"))
    rig.sent()
    assert ended(rig, status=RunStatus.FAILED, said="half an ans") == []
    assert rig.sent() == [
        RunMessage(
            "r",
            ChatRole.SYSTEM,
            "The agent did not hear the last 2 messages: the run ended before its next turn.",
            seq=3,
        ),
        RunReport("r", RunStatus.FAILED, session_id="s", seq=4),
    ]


def test_an_agent_that_has_no_session_after_all_does_not_hear_the_message() -> None:
    rig = running()
    rig.hear(more())
    rig.sent()
    assert ended(rig, session_id="", said="done") == []
    said, report = rig.sent()
    assert isinstance(said, RunMessage)
    assert said.content == "The agent did not hear the last message: the run ended before its next turn."
    assert isinstance(report, RunReport)


def test_a_run_that_is_being_stopped_takes_no_message_and_has_no_next_turn() -> None:
    rig = running()
    rig.hear(more("one", "1"))
    assert rig.hear(CancelRun("r", "enough"), more("two", "2")) == [StopAgent("r")]
    assert ended(rig) == []
    words = rig.sent()
    assert [word.content for word in words if isinstance(word, RunMessage) and word.role is ChatRole.USER] == ["one"]
    # What was done before it could be stopped is done.
    assert words[-1] == RunReport("r", RunStatus.COMPLETED, session_id="s", seq=3)


def test_a_later_turn_is_stopped_like_the_first_and_has_no_time_of_its_own() -> None:
    rig = running(timeout_ms=10_000)
    rig.hear(more())
    rig.wait(6)
    ended(rig)
    assert rig.wait(4) == [StopAgent("r")]


def test_a_message_for_a_run_that_is_not_here_is_nothing() -> None:
    rig = running()
    assert rig.hear(ContinueRun("unknown", "hello?", "m-1")) == []
    assert rig.sent() == []


def test_a_confirmation_is_not_lost_with_a_link() -> None:
    rig = Resuming()
    rig.assign("r")
    rig.transport()
    rig.hear(more())
    rig.transport()
    rig.feed(BROKEN)
    rig.come_back(RunDirective("r", Verdict.GO_ON, 1))
    rig.hear(more())
    assert [word for word in rig.sent() if isinstance(word, RunMessage)] == [
        RunMessage("r", ChatRole.USER, "more", seq=1, id="m-1")
    ]
