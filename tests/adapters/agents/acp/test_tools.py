from __future__ import annotations

from typing import Any

import pytest

from taskrun.adapters.agents.acp.tools import ToolCalls
from taskrun.ports.agent_events import AgentEvent, ToolCompleted, ToolRequested


def told(*bits: dict[str, Any]) -> list[AgentEvent]:
    calls = ToolCalls()
    whole = [{"toolCallId": "t", **bit} for bit in bits]
    return [event for bit in whole for event in calls.of(bit).update(bit)]


def test_a_call_is_told_at_once_if_it_is_known() -> None:
    bit = {"title": "ls", "kind": "execute", "status": "pending", "rawInput": {"timeout": 3, "command": "ls -l"}}
    assert told(bit) == [ToolRequested("execute", "t", "ls -l")]


def test_a_call_whose_input_is_still_being_written_is_told_with_it() -> None:
    begun = {"name": "Bash", "title": "Terminal", "kind": "execute", "status": "pending", "rawInput": {}}
    assert told(begun) == []
    assert told(begun, {"rawInput": {"command": "ls"}}) == [ToolRequested("Bash", "t", "ls")]


@pytest.mark.parametrize("status", ["in_progress", "completed"])
def test_a_call_that_has_no_input_is_told_when_it_begins(status: str) -> None:
    [asked, *_] = told({"title": "Look", "status": "pending", "rawInput": {}}, {"status": status})
    assert asked == ToolRequested("Look", "t", "Look")


def test_a_call_ends_once_and_begins_before() -> None:
    end = {"status": "completed", "rawOutput": "four"}
    assert told({"kind": "read", "title": "Read x"}, end, end, {"title": "Was read"}) == [
        ToolRequested("read", "t", "Read x"),
        ToolCompleted("read", "t", "ok", 4),
    ]
    assert [type(event) for event in told(end)] == [ToolRequested, ToolCompleted]


def test_a_call_that_failed_says_so() -> None:
    [_, end] = told({"kind": "read"}, {"status": "failed"})
    assert end == ToolCompleted("read", "t", "error", 0)


@pytest.mark.parametrize(
    ("result", "size"),
    [
        ({"rawOutput": "12345", "content": []}, 5),
        ({"rawOutput": {"a": 1}}, 8),
        ({"content": [{"type": "content", "content": {"type": "text", "text": "123"}}, {"type": "diff"}, 7]}, 3),
        ({"content": "?", "rawOutput": None}, 0),
    ],
)
def test_a_result_has_a_size(result: dict[str, Any], size: int) -> None:
    [_, end] = told({"status": "completed", **result})
    assert isinstance(end, ToolCompleted)
    assert end.result_size == size


def test_a_size_told_before_the_end_counts() -> None:
    assert told({"rawOutput": "12"}, {"status": "completed"})[1:] == [ToolCompleted("", "t", "ok", 2)]


@pytest.mark.parametrize(
    ("given", "input"),
    [("ls", "ls"), ({"n": 1}, '{"n": 1}'), ([1], "[1]"), ("x" * 300, "x" * 196 + " ..."), ({"a": "", "b": "b"}, "b")],
)
def test_an_input_is_told_short(given: object, input: str) -> None:
    assert told({"rawInput": given}) == [ToolRequested("", "t", input)]
