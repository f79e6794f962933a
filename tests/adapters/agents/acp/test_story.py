from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.acp.meter import Meter
from taskrun.adapters.agents.acp.story import Story
from taskrun.ports.agent_events import Logged, OutputGenerated, PlanMade, ToolRequested, UsageReported
from taskrun.testing.recording_sink import RecordingSink


def spoken(text: str, message: str = "") -> dict[str, Any]:
    chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    return chunk | ({"messageId": message} if message else {})


TOOL = {"sessionUpdate": "tool_call", "toolCallId": "t", "title": "Look"}


async def told(*updates: dict[str, Any], meter: Meter | None = None) -> RecordingSink:
    sink = RecordingSink()
    story = Story(sink, meter or Meter(Path("/nowhere")))
    for update in updates:
        await story.tell(update)
    await story.conclude()
    return sink


@pytest.mark.parametrize(
    ("updates", "output", "answer"),
    [
        ([spoken("a"), spoken("b")], "ab", "ab"),
        ([spoken("a", "1"), spoken("b", "1")], "ab", "ab"),
        ([spoken("a", "1"), spoken("b", "2")], "a\nb", "b"),
        ([spoken("a\n", "1"), spoken("b", "2")], "a\nb", "b"),
        ([spoken("a"), TOOL, spoken("b"), spoken("c")], "a\nbc", "bc"),
        ([TOOL, spoken("a")], "a", "a"),
        ([spoken(""), spoken("a", "1"), spoken("b")], "ab", "ab"),
    ],
)
async def test_messages_are_paragraphs_and_the_last_is_the_answer(
    updates: list[dict[str, Any]], output: str, answer: str
) -> None:
    sink = await told(*updates)
    assert sink.output == output
    assert sink.those(OutputGenerated) == [OutputGenerated(answer, len(answer))]


async def test_of_a_long_answer_the_beginning_and_the_length_are_told() -> None:
    sink = await told(*[spoken("x" * 5000)] * 3)
    assert sink.those(OutputGenerated) == [OutputGenerated("x" * 8192, 15_000)]


async def test_nothing_said_is_no_answer() -> None:
    assert (await told(TOOL)).events == [ToolRequested("Look", "t", "Look")]


async def test_what_is_no_text_is_said_to_be_left_out() -> None:
    image = {"sessionUpdate": "agent_message_chunk", "content": {"type": "image", "data": "AAAA"}}
    note = {"sessionUpdate": "agent_message_chunk", "content": {"type": "resource", "resource": {"text": "a note"}}}
    sink = await told(image, note)
    assert sink.output == "a note"
    assert [event.text for event in sink.those(Logged)] == ["The agent answered with image, left out."]


async def test_a_plan_is_told_as_a_whole() -> None:
    steps = [{"content": "look", "status": "completed"}, {"content": "tell", "status": "in_progress"}, 7]
    sink = await told({"sessionUpdate": "plan", "entries": steps}, {"sessionUpdate": "plan", "entries": None})
    assert sink.events == [PlanMade("[x] look\n[ ] tell"), PlanMade("")]


@pytest.mark.parametrize("cost", [None, {"amount": 1.0, "currency": "EUR"}, {"amount": 1.0}, "1.0 USD"])
async def test_a_cost_that_is_none_in_dollars_is_not_told(cost: object) -> None:
    assert (await told({"sessionUpdate": "usage_update", "size": "?", "cost": cost})).events == []


@pytest.mark.parametrize(("goes_on", "events"), [("", [UsageReported(cost_usd=1.0)]), ("unheard of", [])])
async def test_a_cost_is_told_if_this_turns_is_known(goes_on: str, events: list[UsageReported], tmp_path: Path) -> None:
    update = {"sessionUpdate": "usage_update", "cost": {"amount": 1, "currency": "USD"}}
    assert (await told(update, meter=Meter(tmp_path, goes_on))).events == events


async def test_what_is_about_the_session_or_empty_is_not_told() -> None:
    empty = {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": ""}}
    sink = await told(
        {"sessionUpdate": "available_commands_update"}, {"sessionUpdate": "user_message_chunk"}, empty, {}
    )
    assert (sink.events, sink.texts) == ([], [])
