"""What an agent that goes on well tells, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from taskrun.ports.agent_events import (
    AgentEvent,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    SessionInitialized,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)
from taskrun.ports.agents import AgentResult
from taskrun.testing.contracts.agent_acts import PIECES, READY, TOOL_ANSWER, TOOL_COMMAND, Act
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.recording_sink import RecordingSink

#: Seconds in which a word that is coming has come, on a busy machine too.
_PATIENCE = 45.0

_STAGES = (ExecutionStarted, ExecutionCompleted, ExecutionFailed)


class TellingContract(AgentTests):
    """Text comes in order, once, as soon as it is there; a result says what came of it."""

    async def test_text_is_complete_and_in_order(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        result = await rehearsal.play(Act.STREAM, sink)
        assert (result.failure, result.error, sink.output.strip()) == (None, "", "".join(PIECES))

    async def test_text_comes_while_the_agent_works(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await _says_ready(rehearsal, Act.HANG, sink)

    async def test_text_comes_before_its_message_is_whole(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await _says_ready(rehearsal, Act.MIDST, sink)

    async def test_runs_at_once_do_not_meet(self, rehearsal: Rehearsal) -> None:
        agent, sinks = rehearsal.agent(Act.STREAM), [RecordingSink(), RecordingSink()]
        results = await asyncio.gather(*(agent.run(rehearsal.request(), sink) for sink in sinks))
        assert [result.failure for result in results] == [None, None]
        assert [sink.output.strip() for sink in sinks] == ["".join(PIECES)] * 2

    async def test_the_model_is_named(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        result = await rehearsal.play(Act.MODEL, sink)
        assert result.backend is not None
        assert result.backend.model_name != ""

    async def test_the_tokens_are_counted_and_told_before_the_end(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.USAGE, sink)
        assert result.usage is not None
        assert result.usage.input_tokens > 0
        assert result.usage.output_tokens > 0
        # Some tell the cost alone while they are at work.
        assert sink.those(UsageReported) != []

    async def test_the_session_is_named_when_it_begins_and_in_the_result(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.SESSION, sink)
        assert result.session_id != ""
        assert {told.session_id for told in sink.those(SessionInitialized)} == {result.session_id}


class OrderContract(AgentTests):
    """Events tell the story from its beginning to its end."""

    async def test_a_success_is_told_from_its_beginning_to_its_end(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        _check_stages(await rehearsal.play(Act.STREAM, sink), sink.events)

    async def test_a_failure_is_told_from_its_beginning_to_its_end(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        _check_stages(await rehearsal.play(Act.FAIL, sink), sink.events)

    async def test_a_tools_end_follows_its_beginning(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        await rehearsal.play(Act.TOOL, sink)
        [asked] = sink.those(ToolRequested)
        [answered] = sink.those(ToolCompleted)
        assert sink.events.index(asked) < sink.events.index(answered)
        assert (asked.tool_use_id, asked.tool) == (answered.tool_use_id, answered.tool)

    async def test_what_is_said_of_a_tools_answer_follows_its_end(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        """Text and events are one story, in the order in which it happened."""
        await rehearsal.play(Act.TOOL, sink)
        [answered] = sink.those(ToolCompleted)
        before = sink.story[: sink.story.index(answered)]
        assert TOOL_ANSWER not in "".join(told for told in before if isinstance(told, str))
        assert TOOL_ANSWER in sink.output

    async def test_a_tool_is_told_with_its_name_what_it_was_asked_and_how_it_ended(
        self, rehearsal: Rehearsal, sink: RecordingSink
    ) -> None:
        result = await rehearsal.play(Act.TOOL, sink)
        [asked] = sink.those(ToolRequested)
        assert asked.tool != ""
        assert TOOL_COMMAND in asked.input
        assert [told.outcome for told in sink.those(ToolCompleted)] == ["ok"]
        assert (result.failure, TOOL_ANSWER in sink.output) == (None, True)


async def _says_ready(rehearsal: Rehearsal, act: Act, sink: RecordingSink) -> None:
    """In an act that has no end but a cancel: what is not said while it lasts is never said."""
    run = asyncio.create_task(rehearsal.agent(act).run(rehearsal.request(), sink))
    try:
        async with asyncio.timeout(_PATIENCE):
            await sink.until(lambda sink: READY in sink.output)
    finally:
        run.cancel()
        await asyncio.wait([run])


def _check_stages(result: AgentResult, events: Sequence[AgentEvent]) -> None:
    end = ExecutionFailed(result.failure) if result.failure else ExecutionCompleted()
    first, *between, last = events
    assert (type(first), last) == (ExecutionStarted, end)
    assert [event for event in between if isinstance(event, _STAGES)] == []
