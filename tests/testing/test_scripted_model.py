from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import pytest

from taskrun.testing.anthropic_api import AnthropicMessages
from taskrun.testing.model_scripts import (
    BreakOff,
    Fail,
    Hang,
    ModelRequest,
    Reply,
    Say,
    Stall,
    Tokens,
    Turn,
    UseTool,
    default_script,
    in_turn,
    spoken_slowly,
)
from taskrun.testing.scripted_model import ScriptedModel


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model


def ask(model: ScriptedModel, prompt: Any, *, stream: bool = True, path: str = "/v1/messages") -> tuple[int, bytes]:
    connection = HTTPConnection(model.url.removeprefix("http://"), timeout=30)
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": prompt}]}
    try:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(b"data: ")) for line in body.splitlines() if line.startswith(b"data: ")]


def answer_to(prompt: str, system: str = "") -> Reply:
    return default_script(ModelRequest(system, (Turn("user", prompt),)))


def test_an_answer_is_streamed_as_the_messages_api_does(model: ScriptedModel) -> None:
    model.script = in_turn(Say("a b"))
    status, body = ask(model, "hi")
    assert status == 200
    assert [event["type"] for event in events(body)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_an_answer_comes_whole_if_no_stream_is_asked_for(model: ScriptedModel) -> None:
    model.script = in_turn(UseTool("Bash", {"command": "ls"}, "Look:"))
    message = json.loads(ask(model, "hi", stream=False)[1])
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]
    assert (message["content"][1]["input"], message["stop_reason"]) == ({"command": "ls"}, "tool_use")


def test_errors_have_the_apis_form(model: ScriptedModel) -> None:
    model.script = in_turn(Fail(429, "slow", retry_after=3))
    status, body = ask(model, "hi")
    assert (status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")


def test_a_broken_stream_ends_in_the_middle(model: ScriptedModel) -> None:
    model.script = in_turn(BreakOff("a b"))
    assert events(ask(model, "hi")[1])[-1]["type"] == "content_block_delta"


def test_a_stream_can_tell_an_error_before_it_breaks(model: ScriptedModel) -> None:
    model.script = in_turn(BreakOff("a b", error="Overloaded"))
    assert events(ask(model, "hi")[1])[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}


def test_a_stream_that_stalls_keeps_the_connection_until_the_model_closes() -> None:
    answers: list[tuple[int, bytes]] = []
    with ScriptedModel(in_turn(Stall("a b"))) as model:
        client = threading.Thread(target=lambda: answers.append(ask(model, "hi")))
        client.start()
        assert model.wait_for_requests(1)
        assert answers == []
    client.join()
    assert [event["type"] for event in events(answers[0][1])][-1] == "content_block_delta"


def test_thinking_comes_before_the_answer_and_the_tokens_are_the_scripts(model: ScriptedModel) -> None:
    model.script = in_turn(Say("yes", thinking="let me see", tokens=Tokens(5, 6, 7, 8)))
    message = json.loads(ask(model, "hi", stream=False)[1])
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert list(message["usage"].values()) == [5, 6, 7, 8]
    thoughts = [event["delta"].get("thinking") for event in events(ask(model, "hi")[1]) if "delta" in event]
    assert "".join(thought for thought in thoughts if thought) == "let me see"


def test_a_limit_says_when_it_is_reset(model: ScriptedModel) -> None:
    body, headers = AnthropicMessages().error(Fail(429, resets_at=1_800_000_000))
    assert body["error"]["type"] == "rate_limit_error"
    assert headers["anthropic-ratelimit-unified-reset"] == "1800000000"
    assert headers["anthropic-ratelimit-requests-reset"] == "2027-01-15T08:00:00+00:00"


def test_a_request_is_read_with_its_earlier_turns_and_the_tools_answer() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "42"}]}
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": [result]},
    ]
    request = AnthropicMessages().read({"system": [{"type": "text", "text": "be brief"}], "messages": messages}, {})
    assert (request.system, request.prompt, request.tool_result) == ("be brief", "one", "42")
    assert request.turns == (Turn("user", "one"), Turn("assistant", "two"))


def test_replies_come_in_turn_and_the_last_one_stays(model: ScriptedModel) -> None:
    model.script = in_turn(Fail(500), Fail(401))
    assert [ask(model, "hi")[0] for _ in range(3)] == [500, 401, 401]


def test_other_paths_are_answered(model: ScriptedModel) -> None:
    assert json.loads(ask(model, "hi", path="/v1/messages/count_tokens")[1])["input_tokens"] > 0
    assert ask(model, "hi", path="/v1/else")[0] == 404
    for method in ("GET", "HEAD"):
        connection = HTTPConnection(model.url.removeprefix("http://"), timeout=30)
        connection.request(method, "/")
        assert connection.getresponse().status == 200
        connection.close()


def test_requests_are_kept_and_can_be_waited_for(model: ScriptedModel) -> None:
    ask(model, [{"type": "text", "text": "<system-reminder>x</system-reminder>"}, {"type": "text", "text": "hi"}])
    assert model.wait_for_requests(1)
    assert model.requests[0].prompt == "hi"
    assert not model.wait_for_requests(2, timeout=0.01)


def test_closing_ends_requests_that_hang_and_leaves_no_thread() -> None:
    def be_left_hanging(model: ScriptedModel) -> None:
        with pytest.raises(RemoteDisconnected):
            ask(model, "hi")

    before = threading.active_count()
    with ScriptedModel(in_turn(Hang())) as model, socket.create_connection(("127.0.0.1", int(model.url[17:]))) as idle:
        client = threading.Thread(target=be_left_hanging, args=[model])
        client.start()
        assert model.wait_for_requests(1)
        idle.close()
    client.join()
    assert threading.active_count() <= before


def test_as_a_process_it_prints_its_url_and_ends_on_sigterm() -> None:
    argv = [sys.executable, "-m", "taskrun.testing.scripted_model", "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_any_script_can_be_spoken_slowly() -> None:
    script = spoken_slowly(in_turn(Say("slow", delay=2.0), Say("fast"), Hang()), 1.0)
    replies = [script(ModelRequest()) for _ in range(3)]
    assert replies == [Say("slow", delay=2.0), Say("fast", delay=1.0), Hang()]


# The default script.


@pytest.mark.parametrize(
    ("ticket", "priority", "category"),
    [
        ("Production is down, urgent!", "urgent", "bug"),
        ("I was charged twice on my invoice", "high", "billing"),
        ("How do I reset my password?", "low", "access"),
        ("It would be nice to have dark mode, please add it", "low", "feature_request"),
        ("Greetings", "medium", "other"),
    ],
)
def test_tickets_are_triaged_by_their_words(ticket: str, priority: str, category: str) -> None:
    reply = answer_to(json.dumps({"subject": ticket}), system="... suggested_action ...")
    assert isinstance(reply, Say)
    answer = json.loads(reply.text)
    assert (answer["priority"], answer["category"], answer["summary"]) == (priority, category, ticket)


@pytest.mark.parametrize(
    ("prompt", "reply"),
    [
        ("hello", Say("You said: hello")),
        ("[[bash: sleep 60]]", UseTool("Bash", {"command": "sleep 60", "description": "As ordered"})),
        ("[[slow: 0.5]] and steady", Say(" and steady", delay=0.5)),
        ("[[error: 529]]", Fail(529)),
        ("[[limit: 1800000000]]", Fail(429, resets_at=1_800_000_000)),
        ("[[break]]one two", BreakOff("one two")),
        ("[[stall]]one two", Stall("one two")),
        ("[[think: let me see]]yes", Say("yes", thinking="let me see")),
        ("[[hang]]", Hang()),
    ],
)
def test_everything_else_is_echoed_and_orders_are_obeyed(prompt: str, reply: Reply) -> None:
    if isinstance(reply, Say):
        said = answer_to(prompt)
        assert isinstance(said, Say)
        assert (said.text.strip(), said.delay, said.thinking) == (reply.text.strip(), reply.delay, reply.thinking)
    else:
        assert answer_to(prompt) == reply


def test_a_tools_result_is_told() -> None:
    assert default_script(ModelRequest(tool_result="42")) == Say("The tool answered: 42")


def test_earlier_turns_are_recalled_by_whoever_was_there() -> None:
    said = (Turn("user", "I am Ada"), Turn("assistant", "You said: I am Ada"), Turn("user", "[[recall]]"))
    assert default_script(ModelRequest(turns=said)) == Say("You told me before:\nI am Ada")
    assert answer_to("[[recall]]") == Say("You told me nothing before.")
