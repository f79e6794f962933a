"""The CLI's lines by themselves; `test_claude_code_agent.py` reads them from the real CLI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.agents.claude_stream import (
    CUT_OFF,
    ClaudeStream,
    Concluded,
    Opened,
    Saying,
    Spoke,
    ToolAnswered,
    ToolAsked,
)
from taskrun.domain.records import Usage

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
        Opened("s", "opus", "2"),
        ToolAsked("t1", "Bash", {"command": "ls"}),
        ToolAnswered("t1", "Bash", failed=True),
        ToolAnswered("t1", "", failed=False),
    ]


def test_the_result_tells_usage_cost_and_the_model_that_spoke_last() -> None:
    usage = {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 8}
    more = {"usage": usage, "total_cost_usd": 0.25, "session_id": "s", "modelUsage": {"opus": {"contextWindow": 200}}}
    assert read(text("Hi"), result("Hi", **more))[-1] == Concluded(
        False, "Hi", turns=1, session_id="s", model="opus", context_window=200, usage=Usage(5, 6, 7, 8, 0.25)
    )


def test_a_result_that_does_not_say_that_all_is_well_is_an_error() -> None:
    assert read({"type": "result", "subtype": "success"}) == [Concluded(True, "", subtype="success")]


def test_an_error_without_a_text_tells_its_list() -> None:
    [conclusion] = read({"type": "result", "is_error": True, "errors": ["one", "two"]})
    assert isinstance(conclusion, Concluded)
    assert conclusion.text == "one; two"


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


KEYS = ["event", "message", "content", "usage", "modelUsage", "errors", "result", "num_turns", "delta", "id", "subtype"]
TYPES = st.sampled_from(["system", "stream_event", "assistant", "user", "result", "message_start", "text", "tool_use"])
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
