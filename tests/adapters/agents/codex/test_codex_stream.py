from __future__ import annotations

import json
from typing import Any

import pytest

from taskrun.adapters.agents.codex.stream import CodexStream, Saying
from taskrun.domain.records import Usage
from taskrun.ports.agent_events import (
    Logged,
    PlanMade,
    Retried,
    SessionInitialized,
    Severity,
    Thought,
    ToolCompleted,
    ToolRequested,
)


def read(*events: Any) -> list[Saying]:
    stream = CodexStream()
    return [saying for event in events for saying in stream.read(json.dumps(event))]


def completed(**item: Any) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": "item_1", **item}}


def test_a_thread_is_a_session() -> None:
    assert read({"type": "thread.started", "thread_id": "t-1"}) == [SessionInitialized("t-1")]


def test_messages_are_paragraphs() -> None:
    said = read(*(completed(type="agent_message", text=text) for text in ("one", "", "two\n", "three")))
    assert said == ["one", "\ntwo\n", "three"]


def test_reasoning_is_a_thought() -> None:
    assert read(completed(type="reasoning", text="hm")) == [Thought("hm")]


COMMAND = {"id": "item_1", "type": "command_execution", "command": "ls"}


@pytest.mark.parametrize(
    ("status", "outcome"), [("completed", "ok"), ("failed", "error"), ("declined", "error"), ("new", "ok")]
)
def test_a_command_is_a_tools_use(status: str, outcome: str) -> None:
    end = {**COMMAND, "status": status, "aggregated_output": "a b"}
    said = read({"type": "item.started", "item": COMMAND}, {"type": "item.completed", "item": end})
    assert said == [ToolRequested("shell", "item_1", "ls"), ToolCompleted("shell", "item_1", outcome, 3)]


def test_it_is_at_work_while_any_tool_is() -> None:
    stream = CodexStream()
    seen = []
    for kind, name in [("started", "1"), ("started", "2"), ("completed", "1"), ("completed", "2"), ("completed", "3")]:
        stream.read(json.dumps({"type": f"item.{kind}", "item": {**COMMAND, "id": name}}))
        seen.append(stream.is_at_work)
    assert seen == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("item", "tool", "asked", "size"),
    [
        (
            {"type": "file_change", "changes": [{"path": "a", "kind": "add"}, {"path": "b", "kind": "update"}]},
            "apply_patch",
            "add a, update b",
            0,
        ),
        (
            {"type": "mcp_tool_call", "server": "s", "tool": "t", "arguments": {"a": 1}, "result": {"b": 2}},
            "s.t",
            '{"a": 1}',
            8,
        ),
        ({"type": "mcp_tool_call", "server": "s", "tool": "t", "arguments": None, "result": None}, "s.t", "null", 0),
        ({"type": "web_search", "query": "cats"}, "web_search", "cats", 0),
    ],
)
def test_other_tools_too_also_if_they_are_over_at_once(item: Any, tool: str, asked: str, size: int) -> None:
    said = read(completed(**item, status="completed"))
    assert said == [ToolRequested(tool, "item_1", asked), ToolCompleted(tool, "item_1", "ok", size)]


@pytest.mark.parametrize("kind", ["started", "updated", "completed"])
def test_a_list_of_what_is_to_be_done_is_a_plan(kind: str) -> None:
    items = [{"text": "one", "completed": True}, {"text": "two", "completed": False}]
    said = read({"type": f"item.{kind}", "item": {"type": "todo_list", "items": items}})
    assert said == [PlanMade("[x] one\n[ ] two")]


def test_a_call_that_is_made_again_is_told_and_other_errors_are_logged() -> None:
    assert read(
        {"type": "error", "message": "Reconnecting... 1/2 (unexpected status 500 (x))"},
        {"type": "error", "message": "Broken."},
        completed(type="error", message="Mind this."),
    ) == [
        Retried("unexpected status 500 (x)", 1),
        Logged("Broken.", Severity.ERROR),
        Logged("Mind this.", Severity.WARNING),
    ]


def test_the_end_of_a_turn_has_the_usage_of_the_session() -> None:
    stream = CodexStream()
    usage = {"input_tokens": 10, "cached_input_tokens": 4, "cache_write_input_tokens": 1, "output_tokens": 5}
    assert stream.read(json.dumps({"type": "turn.completed", "usage": usage})) == ()
    assert (stream.completed, stream.usage) == (True, Usage(5, 5, 4, 1))


@pytest.mark.parametrize(
    ("error", "words"), [({"message": "No."}, "No."), (None, "Codex does not say why its turn failed.")]
)
def test_a_turn_that_failed_says_why(error: Any, words: str) -> None:
    stream = CodexStream()
    stream.read(json.dumps({"type": "turn.failed", "error": error}))
    assert (stream.completed, stream.error) == (False, words)


@pytest.mark.parametrize("line", ["", "  ", "{}", '{"type": "new"}', '{"type": "item.completed"}', '{"type": []}'])
def test_what_is_not_known_is_of_no_interest(line: str) -> None:
    stream = CodexStream()
    assert (list(stream.read(line)), stream.garbled) == ([], False)


@pytest.mark.parametrize("line", ["no JSON", "[]", "[" * 100_000])
def test_what_is_no_event_is_noticed(line: str) -> None:
    stream = CodexStream()
    assert (stream.read(line), stream.garbled) == ((), True)
