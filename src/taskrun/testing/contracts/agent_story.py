"""What an agent tells beside its output and its tools.

A kind that can tell a thing does: whoever watches a run, or reads of it later, knows nothing else of it.
"""

from __future__ import annotations

from taskrun.ports.agent_events import OutputGenerated, Permission, PermissionAsked, PlanMade, Retried, Thought
from taskrun.testing.contracts.agent_acts import DENIED_COMMAND, PIECES, PLAN, THOUGHT, Act
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.recording_sink import RecordingSink

_ANSWER = "".join(PIECES)


class StoryContract(AgentTests):
    """Each is told as what it is, and is no part of the output."""

    async def test_thoughts_are_told_apart_from_the_answer(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        result = await rehearsal.play(Act.THINK, sink)
        # In pieces of any size.
        assert "".join(told.text for told in sink.those(Thought)).strip() == THOUGHT
        assert (result.failure, sink.output.strip()) == (None, _ANSWER)

    async def test_a_plan_is_told_whole_whenever_it_changes(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        result = await rehearsal.play(Act.PLAN, sink)
        assert [told.plan for told in sink.those(PlanMade)][-1:] == [PLAN]
        assert result.failure is None

    async def test_a_tool_that_was_denied_is_told_with_what_it_was_to_do(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.ASKED, sink)
        assert [told.decision for told in sink.those(PermissionAsked)] == [Permission.DENIED]
        [asked] = sink.those(PermissionAsked)
        assert (result.failure, asked.tool != "", DENIED_COMMAND in asked.input) == (None, True, True)

    async def test_a_call_of_the_model_that_is_made_again_is_told_with_its_reason(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.RETRY, sink)
        assert [(told.attempt, told.error != "") for told in sink.those(Retried)] == [(1, True)]
        assert (result.failure, sink.output.strip()) == (None, _ANSWER)

    async def test_the_answer_is_told_whole_and_once(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await rehearsal.play(Act.ANSWER, sink)
        told = [(answer.text.strip(), answer.characters) for answer in sink.those(OutputGenerated)]
        assert told == [(_ANSWER, len(sink.output))]
