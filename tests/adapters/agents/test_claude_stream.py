"""The CLI's lines by themselves; `test_claude_code_agent.py` reads them from the real CLI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.agents.claude_sayings import Asked, Concluded, Saying, Spoke
from taskrun.adapters.agents.claude_speech import CUT_OFF
from taskrun.adapters.agents.claude_stream import ClaudeStream
from taskrun.domain.records import Consumption
from taskrun.domain.usage import usage_of
from taskrun.ports.agent_events import (
    Permission,
    PermissionAsked,
    PlanMade,
    Retried,
    SessionInitialized,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)

Message = dict[str, Any]


def start(id: str = "m1") -> Message:
    return {"type": "stream_event", "event": {"type": "message_start", "message": {"id": id}}}


def delta(text: str) -> Message:
    event = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}
    return {"type": "stream_event", "event": event}


def block(content: Message, id: str = "m1", model: str = "opus") -> Message:
    return {"type": "assistant", "message": {"id": id, "model": model, "content": [content]}}


def text(whole: str, id: str = "m1") -> Message:
    return block({"type": "text", "text": whole}, id)


def tool(id: str = "m1") -> Message:
    return block({"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}, id)


def answer(is_error: bool = False) -> Message:
    content = [{"type": "tool_result", "tool_use_id": "t1", "content": "files", "is_error": is_error}]
    return {"type": "user", "message": {"content": content}}


def result(text: str, **more: Any) -> Message:
    return {"type": "result", "is_error": False, "result": text, "num_turns": 1, **more}


def read(*messages: Message) -> list[Saying]:
    stream = ClaudeStream()
    return [saying for message in messages for saying in stream.read(json.dumps(message))]


def spoken(*messages: Message) -> list[str]:
    return [saying.text for saying in read(*messages) if isinstance(saying, Spoke)]


def test_deltas_are_given_on_as_they_come_and_once() -> None:
    assert spoken(start(), delta("Hel"), delta("lo"), text("Hello"), result("Hello")) == ["Hel", "lo"]


def test_text_that_was_not_streamed_is_given_on_when_it_is_whole() -> None:
    assert spoken(text("Hello"), result("Hello")) == ["Hello"]


def test_text_that_was_streamed_in_part_is_completed() -> None:
    assert spoken(start(), delta("Hel"), text("Hello"), result("Hello")) == ["Hel", "lo"]


def test_text_that_is_only_in_the_result_is_given_on_once() -> None:
    assert spoken(result("Hello")) == ["Hello"]


def test_blocks_of_one_message_are_confirmed_one_after_the_other() -> None:
    assert spoken(start(), delta("one"), text("one"), delta("two"), text("two"), result("two")) == ["one", "two"]


def test_a_message_that_is_begun_anew_says_that_it_was_cut_off() -> None:
    assert spoken(start("m1"), delta("one tw"), start("m2"), delta("one"), text("one", "m2"), result("one")) == [
        "one tw",
        CUT_OFF,
        "one",
    ]


def test_text_before_and_after_a_tool_is_two_paragraphs() -> None:
    before = (start("m1"), delta("Looking"), text("Looking"), tool())
    assert spoken(*before, answer(), start("m2"), delta("Found"), text("Found", "m2")) == ["Looking", "\nFound"]


def test_text_after_a_tool_with_nothing_before_it_begins_at_once() -> None:
    assert spoken(start("m1"), tool(), answer(), start("m2"), delta("Found")) == ["Found"]


def test_an_answer_that_is_continued_after_its_token_limit_is_one_text() -> None:
    assert "".join(spoken(start("m1"), delta("mid"), text("mid"), start("m2"), delta("dle"))) == "middle"


def test_a_subagents_words_are_not_the_agents() -> None:
    for message in (start(), delta("x"), text("x")):
        assert read({**message, "parent_tool_use_id": "t9"}) == []


def test_an_api_error_is_no_text_of_the_model() -> None:
    assert read(block({"type": "text", "text": "API Error: 500"}, model="<synthetic>")) == []


def test_a_session_and_its_tools() -> None:
    init = {"type": "system", "subtype": "init", "session_id": "s", "model": "opus", "claude_code_version": "2"}
    assert read(init, tool(), answer(is_error=True), answer()) == [
        SessionInitialized("s", "opus", "2"),
        ToolRequested("Bash", "t1", "ls"),
        ToolCompleted("Bash", "t1", "error", 5),
        ToolCompleted("", "t1", "ok", 5),
    ]


def test_the_result_tells_the_model_that_spoke_last() -> None:
    more = {"session_id": "s", "modelUsage": {"opus": {"contextWindow": 200, "inputTokens": 5, "costUSD": 0.25}}}
    usage = usage_of({"opus": Consumption(5, cost_usd=0.25)})
    concluded = Concluded(False, "Hi", turns=1, session_id="s", model="opus", context_window=200, usage=usage)
    assert read(text("Hi"), result("Hi", **more))[-1] == concluded


def test_a_result_that_does_not_say_that_all_is_well_is_an_error() -> None:
    assert read({"type": "result", "subtype": "success"}) == [Concluded(True, "", subtype="success")]


def test_an_error_without_a_text_tells_its_list() -> None:
    [conclusion] = read({"type": "result", "is_error": True, "errors": ["one", "two"]})
    assert isinstance(conclusion, Concluded)
    assert conclusion.text == "one; two"


# Thoughts.


def thinking(text: str) -> Message:
    event = {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": text}}
    return {"type": "stream_event", "event": event}


STOP: Message = {"type": "stream_event", "event": {"type": "content_block_stop"}}


def thought(*messages: Message) -> list[str]:
    return [saying.text for saying in read(*messages) if isinstance(saying, Thought)]


def test_thoughts_come_in_pieces_of_some_length_and_once() -> None:
    words = [thinking("x" * 90) for _ in range(4)]
    whole = block({"type": "thinking", "thinking": "x" * 360})
    assert [len(piece) for piece in thought(start(), *words, STOP, whole)] == [270, 90]


def test_thoughts_that_were_not_streamed_are_given_on_when_they_are_whole() -> None:
    assert thought(block({"type": "thinking", "thinking": "let me see"})) == ["let me see"]


def test_thoughts_of_a_message_that_is_begun_anew_are_told_anew() -> None:
    assert thought(start("m1"), thinking("let me"), start("m2"), thinking("let me see"), STOP) == ["let me see"]


# Permissions.


def asked(what: str = "can_use_tool") -> Message:
    request = {"subtype": what, "tool_name": "Bash", "tool_use_id": "t1", "input": {"command": "ls"}}
    return {"type": "control_request", "request_id": "r1", "request": request}


DENIED = PermissionAsked("Bash", Permission.DENIED, "t1", "ls")


def test_a_tool_that_is_asked_for_is_told_to_be_denied_once() -> None:
    denials = [{"tool_name": "Bash", "tool_use_id": "t1", "tool_input": {"command": "ls"}}]
    said = read(tool(), asked(), answer(is_error=True), result("", permission_denials=denials))
    assert said[1:4] == [DENIED, Asked("r1", "can_use_tool"), ToolCompleted("Bash", "t1", "error", 5)]
    assert said.count(DENIED) == 1


def test_a_tool_that_a_rule_denies_is_told_when_its_call_comes_back() -> None:
    note = {"tool_result_meta": [{"id": "t1", "permission_decision": {"decision": "reject"}}]}
    assert read(tool(), {**answer(is_error=True), **note})[1:] == [DENIED, ToolCompleted("Bash", "t1", "error", 5)]


def test_a_denial_that_only_the_result_knows_of_is_told_then() -> None:
    denials = [{"tool_name": "Bash", "tool_use_id": "t1", "tool_input": {"command": "ls"}}]
    assert read(result("no", permission_denials=denials))[0] == DENIED


def test_other_questions_are_no_permissions() -> None:
    assert read(asked("elicitation")) == [Asked("r1", "elicitation")]


def test_a_question_is_known_by_the_beginning_of_its_line() -> None:
    line = json.dumps(asked(), separators=(",", ":"))
    assert ClaudeStream().read_beginning(line[:-20]) == [Asked("r1", "can_use_tool")]
    assert ClaudeStream().read_beginning(json.dumps(tool())) == ()


# Plans.


def use(name: str, input: Message, answer: Message | None = None) -> list[Message]:
    call = block({"type": "tool_use", "id": "t1", "name": name, "input": input})
    content = [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]
    return [call, {"type": "user", "message": {"content": content}, "tool_use_result": answer}]


def plans(*messages: Message) -> list[str]:
    return [saying.plan for saying in read(*messages) if isinstance(saying, PlanMade)]


def test_a_plan_that_is_written_whole_is_told_whole() -> None:
    steps = [{"content": "look", "status": "completed"}, {"content": "mend", "status": "in_progress"}]
    assert plans(*use("TodoWrite", {"todos": steps})) == ["[x] look\n[ ] mend"]


def test_a_plan_that_changes_step_by_step_is_told_whole_each_time() -> None:
    assert plans(
        *use("TaskCreate", {"subject": "look"}, {"task": {"id": "1"}}),
        *use("TaskCreate", {"subject": "mend"}, {"task": {"id": "2"}}),
        *use("TaskUpdate", {"taskId": "1", "status": "completed"}),
        *use("TaskUpdate", {"taskId": "1", "owner": "me"}),
        *use("TaskUpdate", {"taskId": "2", "status": "deleted"}),
        *use("TaskUpdate", {"taskId": "7", "status": "completed"}),
    ) == ["[ ] look", "[ ] look\n[ ] mend", "[x] look\n[ ] mend", "[x] look", "[x] look\n[x] step 7"]


# The rest.


def test_what_the_run_used_so_far_is_told_with_every_message() -> None:
    begun = {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 7}}}
    ended = {"type": "message_delta", "usage": {"output_tokens": 5}}
    said = read(*({"type": "stream_event", "event": event} for event in (begun, ended, begun, ended)))
    assert said == [UsageReported("", 7, 5), UsageReported("", 14, 10)]


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(529, "overloaded", "overloaded (HTTP 529)"), (None, "unknown", "The connection broke.")],
)
def test_a_call_that_is_made_again_is_told(status: int | None, error: str, words: str) -> None:
    notice = {"type": "system", "subtype": "api_retry", "attempt": 1, "retry_delay_ms": 587.5}
    assert read({**notice, "error_status": status, "error": error}) == [Retried(words, 1, 587)]


@pytest.mark.parametrize("line", ["not json", '"text"', "[1]", "[" * 100_000, '{"type": "resu'])
def test_a_line_that_is_no_message_is_noticed_and_survived(line: str) -> None:
    stream = ClaudeStream()
    assert stream.read(line) == ()
    assert stream.garbled
    assert stream.read(json.dumps(text("on"))) == [Spoke("on")]


def test_unknown_messages_and_empty_lines_are_of_no_interest() -> None:
    stream = ClaudeStream()
    assert [*stream.read(""), *stream.read('{"type": "news"}'), *stream.read("{}")] == []
    assert not stream.garbled


KEYS = [
    "tool_use_result",
    "tool_result_meta",
    "permission_denials",
    "request",
    "todos",
    "input",
    "name",
    "event",
    "message",
    "content",
    "usage",
    "modelUsage",
    "errors",
    "result",
    "num_turns",
    "delta",
    "id",
    "subtype",
]
TYPES = st.sampled_from(
    [
        "control_request",
        "tool_result",
        "thinking",
        "system",
        "stream_event",
        "assistant",
        "user",
        "result",
        "message_start",
        "text",
        "tool_use",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
        | st.tuples(TYPES, st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)).map(
            lambda it: {"type": it[0], **it[1]}
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.tuples(TYPES, st.dictionaries(st.sampled_from(KEYS), VALUES)), max_size=4))
def test_no_line_breaks_the_reader(messages: list[tuple[str, Message]]) -> None:
    read(*({"type": type, **message} for type, message in messages))


LONG = "x" * 2000


def result_line(**fields: Any) -> str:
    """The last word as the CLI writes it: what it counts first, then what it denied, how it went, and the text."""
    counted = {"session_id": "s", "total_cost_usd": 0.5, "usage": {"input_tokens": 3, "output_tokens": 5}}
    went = {"is_error": False, "num_turns": 1, "subtype": "success", "result": "done", "type": "result"}
    parts: dict[str, Any] = {**counted, "permission_denials": [], **went, **fields}
    return json.dumps(parts, separators=(",", ":"))


def test_of_a_last_word_whose_text_is_too_long_everything_else_counts() -> None:
    [concluded] = ClaudeStream().read_beginning(result_line(result=LONG)[:1000])
    assert isinstance(concluded, Concluded)
    assert (concluded.is_error, concluded.text, concluded.session_id, concluded.turns) == (False, "", "s", 1)
    assert (concluded.usage.input_tokens, concluded.usage.output_tokens) == (3, 5)


def test_a_last_word_that_does_not_come_to_how_it_went_is_no_success() -> None:
    [concluded] = ClaudeStream().read_beginning(result_line(permission_denials=[{"tool_input": LONG}])[:1000])
    assert isinstance(concluded, Concluded)
    assert (concluded.is_error, "too long" in concluded.text) == (True, True)


@pytest.mark.parametrize("line", ['{"a":1,"result":"x', '{"a":[1,"result":"x', 'x,"result":"x', "x"])
def test_another_line_that_is_too_long_says_nothing(line: str) -> None:
    assert ClaudeStream().read_beginning(line) == ()


def test_a_message_too_long_to_be_compared_is_told_once_as_it_came() -> None:
    whole = "x" * 2**20 + "y"
    assert spoken(start(), delta(whole[:-1]), delta("y"), text(whole), result(whole)) == [whole[:-1], "y"]
