"""The scripted model, asked as OpenAI is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from taskrun.testing.model_scripts import BreakOff, Fail, Reply, Say, Tokens, Turn, UseTool, default_script, in_turn
from taskrun.testing.openai_chat_api import OpenAIChat
from taskrun.testing.openai_responses_api import OpenAIResponses
from taskrun.testing.scripted_model import ScriptedModel

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model


def post(model: ScriptedModel, path: str, **body: Any) -> tuple[int, Any, bytes]:
    connection = HTTPConnection(model.url.removeprefix("http://"), timeout=30)
    said: dict[str, Any] = {CHAT: {"messages": [{"role": "user", "content": "hi"}]}, RESPONSES: {"input": "hi"}}
    try:
        connection.request("POST", path, json.dumps({"model": "m", **said[path], **body}))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def whole(model: ScriptedModel, path: str, reply: Reply, **body: Any) -> Any:
    model.script = in_turn(reply)
    return json.loads(post(model, path, **body)[2])


def streamed(model: ScriptedModel, path: str, reply: Reply, **body: Any) -> list[Any]:
    model.script = in_turn(reply)
    lines = post(model, path, stream=True, **body)[2].splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


def deltas(events: list[Any]) -> list[Any]:
    return [choice["delta"] for event in events for choice in event["choices"]]


# Chat completions.


def test_a_chat_is_streamed_as_the_api_does(model: ScriptedModel) -> None:
    options = {"stream_options": {"include_usage": True}}
    events = streamed(model, CHAT, Say("a b", thinking="hm", tokens=Tokens(5, 6, 7, 8)), **options)
    assert deltas(events) == [
        {"role": "assistant"},
        {"reasoning_content": "hm"},
        {"content": "a"},
        {"content": " b"},
        {},
    ]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": 6,
        "total_tokens": 26,
        "prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert post(model, CHAT, stream=True)[2].endswith(b"data: [DONE]\n\n")


def test_a_chat_is_streamed_without_usage_if_nobody_asks_for_it(model: ScriptedModel) -> None:
    assert all("usage" not in event for event in streamed(model, CHAT, Say("a")))


def test_a_chat_comes_whole_if_no_stream_is_asked_for(model: ScriptedModel) -> None:
    answer = whole(model, CHAT, UseTool("Bash", {"command": "ls"}, "Look around:"))
    message = answer["choices"][0]["message"]
    assert (message["content"], answer["choices"][0]["finish_reason"]) == ("Look around:", "tool_calls")
    [call] = message["tool_calls"]
    assert call["function"] == {"name": "Bash", "arguments": '{"command": "ls"}'}


@pytest.mark.parametrize(
    ("stop_reason", "field", "finish_reason"),
    [
        ("max_tokens", "content", "length"),
        ("content_filter", "content", "content_filter"),
        ("refusal", "refusal", "stop"),
    ],
)
def test_a_chat_ends_in_the_apis_words(model: ScriptedModel, stop_reason: str, field: str, finish_reason: str) -> None:
    [choice] = whole(model, CHAT, Say("a", stop_reason=stop_reason))["choices"]
    assert (choice["message"][field], choice["finish_reason"]) == ("a", finish_reason)


def test_a_chat_breaks_off_with_an_error_or_without(model: ScriptedModel) -> None:
    assert deltas(streamed(model, CHAT, BreakOff("a")))[-1] == {"content": "a"}
    assert streamed(model, CHAT, BreakOff("a", error="Overloaded"))[-1]["error"]["message"] == "Overloaded"


def test_a_chat_is_read_with_its_earlier_turns_and_the_tools_answer() -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "one"}]},
        {"role": "assistant", "content": "two"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "42"},
    ]
    request = OpenAIChat().read({"messages": messages}, {})
    assert (request.system, request.prompt, request.tool_result) == ("be brief", "one", "42")
    assert request.turns == (Turn("user", "one"), Turn("assistant", "two"))


# Responses.


def test_a_response_is_streamed_as_the_api_does(model: ScriptedModel) -> None:
    events = streamed(model, RESPONSES, Say("a b", thinking="hm", tokens=Tokens(5, 6, 7, 8)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_text.delta",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(13))
    response = events[-1]["response"]
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["usage"] == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 8},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 26,
    }


def test_a_response_comes_whole_if_no_stream_is_asked_for(model: ScriptedModel) -> None:
    response = whole(model, RESPONSES, Say("a b"))
    assert (response["status"], response["output"][0]["content"][0]["text"]) == ("completed", "a b")


@pytest.mark.parametrize(
    ("reply", "tools", "call"),
    [
        (UseTool("look", {"at": "x"}), [], ("function_call", "look", '{"at": "x"}')),
        (
            UseTool("patch", {"input": "*** x"}),
            [{"type": "custom", "name": "patch"}],
            ("custom_tool_call", "patch", "*** x"),
        ),
        (
            UseTool("Bash", {"command": "ls"}),
            [{"type": "function", "name": "exec_command"}],
            ("function_call", "exec_command", '{"cmd": "ls"}'),
        ),
    ],
    ids=["json", "text", "codex"],
)
def test_a_tool_is_called_in_its_own_way(
    model: ScriptedModel, reply: UseTool, tools: list[Any], call: tuple[str, str, str]
) -> None:
    [item] = whole(model, RESPONSES, reply, tools=tools)["output"]
    assert (item["type"], item["name"], item.get("arguments") or item.get("input")) == call


@pytest.mark.parametrize(
    ("stop_reason", "reason"), [("max_tokens", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_response_that_is_cut_is_incomplete(model: ScriptedModel, stop_reason: str, reason: str) -> None:
    [*_, last] = streamed(model, RESPONSES, Say("a", stop_reason=stop_reason))
    assert (last["type"], last["response"]["incomplete_details"]) == ("response.incomplete", {"reason": reason})


def test_a_refusal_is_a_part_of_its_own(model: ScriptedModel) -> None:
    response = whole(model, RESPONSES, Say("no", stop_reason="refusal"))
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_a_response_breaks_off_with_an_error_or_without(model: ScriptedModel) -> None:
    assert streamed(model, RESPONSES, BreakOff("a"))[-1]["type"] == "response.output_text.delta"
    [*_, last] = streamed(model, RESPONSES, BreakOff("a", error="Overloaded"))
    assert (last["type"], last["message"]) == ("error", "Overloaded")


def test_a_response_is_read_with_its_earlier_turns_and_the_tools_answer() -> None:
    asked = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "<environment_context>x</environment_context>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "two"}]},
        {"type": "function_call_output", "output": "42"},
    ]
    request = OpenAIResponses().read({"instructions": "You are it.", "input": asked}, {})
    assert (request.system, request.prompt, request.tool_result) == ("You are it.\nbe brief", "one", "42")
    assert request.turns == (Turn("user", "one"), Turn("assistant", "two"))


# Both.


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_one_script_answers_whoever_asks(model: ScriptedModel, path: str) -> None:
    model.script = default_script
    assert b"You said: hi" in post(model, path)[2]
    assert model.requests[0].prompt == "hi"


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_limit_says_when_it_is_reset(model: ScriptedModel, path: str) -> None:
    model.script = in_turn(Fail(429, "slow", retry_after=3, resets_at=round(time.time()) + 3600))
    status, headers, body = post(model, path)
    assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (headers["retry-after"], headers["x-ratelimit-remaining-requests"]) == ("3", "0")
    assert headers["x-ratelimit-reset-requests"].partition("m")[0] in ("59", "60")


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_other_errors_have_the_apis_form(model: ScriptedModel, path: str) -> None:
    model.script = in_turn(Fail(500, "down"))
    status, _, body = post(model, path)
    assert (status, json.loads(body)["error"]["type"]) == (500, "server_error")
