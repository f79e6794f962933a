"""How a conversation is gone on with."""

from __future__ import annotations

import pytest

from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import ExecutionFailed
from taskrun.ports.agents import AgentResult
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.recording_sink import RecordingSink

#: A session that nobody has. It looks like one: some programs look at the form first.
UNKNOWN = "7f3a1c9e-0000-4000-8000-000000000000"


class SessionContract(AgentTests):
    """A follow-up is a run with an earlier result's session."""

    async def test_a_follow_up_knows_what_was_said(self, rehearsal: Rehearsal) -> None:
        first, _ = await _turn(rehearsal, Act.REMEMBER, "I am Ann.")
        second, told = await _turn(rehearsal, Act.REMEMBER, "Who am I?", first.session_id)
        assert ("I am Ann." in told, "Who am I?" in told) == (True, True)
        third, told = await _turn(rehearsal, Act.REMEMBER, "Sure?", second.session_id)
        assert [said in told for said in ("I am Ann.", "Who am I?", "Sure?")] == [True, True, True]
        assert third.failure is None

    async def test_another_run_knows_nothing_of_it(self, rehearsal: Rehearsal) -> None:
        first, _ = await _turn(rehearsal, Act.REMEMBER, "I am Ann.")
        other, told = await _turn(rehearsal, Act.REMEMBER, "Who am I?")
        assert "I am Ann." not in told
        assert other.session_id != first.session_id

    async def test_a_fork_knows_what_was_said_and_leaves_the_session_as_it_was(self, rehearsal: Rehearsal) -> None:
        first, _ = await _turn(rehearsal, Act.FORK, "I am Ann.")
        forked, told = await _turn(rehearsal, Act.FORK, "My cat is grey.", first.session_id, fork=True)
        assert "I am Ann." in told
        assert forked.session_id not in {"", first.session_id}
        _, told = await _turn(rehearsal, Act.FORK, "What is my cat like?", first.session_id)
        assert ("I am Ann." in told, "My cat is grey." in told) == (True, False)

    async def test_a_fork_can_be_gone_on_with(self, rehearsal: Rehearsal) -> None:
        first, _ = await _turn(rehearsal, Act.FORK, "I am Ann.")
        forked, _ = await _turn(rehearsal, Act.FORK, "My cat is grey.", first.session_id, fork=True)
        _, told = await _turn(rehearsal, Act.FORK, "What is my cat like?", forked.session_id)
        assert ("I am Ann." in told, "My cat is grey." in told) == (True, True)

    @pytest.mark.parametrize("fork", [False, True], ids=["go on", "fork"])
    async def test_a_session_that_is_not_there_is_a_failure_in_clear_words(
        self, rehearsal: Rehearsal, sink: RecordingSink, fork: bool
    ) -> None:
        """Also of a kind that has no sessions: a follow-up that begins anew would be a wrong answer."""
        act = Act.STREAM if Act.REMEMBER in rehearsal.stage.CANNOT else Act.REMEMBER
        result = await rehearsal.agent(act).run(rehearsal.request(session_id=UNKNOWN, fork=fork), sink)
        assert (result.failure, sink.output) == (FailureKind.AGENT_UNAVAILABLE, "")
        assert f"session {UNKNOWN}" in result.error
        assert sink.events[-1] == ExecutionFailed(FailureKind.AGENT_UNAVAILABLE)


async def _turn(
    rehearsal: Rehearsal, act: Act, input: str, session_id: str = "", *, fork: bool = False
) -> tuple[AgentResult, str]:
    """One turn of a conversation: its result, and what the agent said."""
    sink = RecordingSink()
    result = await rehearsal.agent(act).run(rehearsal.request(input, session_id=session_id, fork=fork), sink)
    assert (result.failure, result.error) == (None, "")
    assert result.session_id != ""
    return result, sink.output
