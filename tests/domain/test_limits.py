from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.limits import (
    MAX_CONCURRENT_RUNS,
    MAX_INPUT_BYTES,
    MAX_INPUT_DEPTH,
    MAX_MESSAGE_BYTES,
    MAX_TIMEOUT_MS,
    check_agent_name,
    check_json,
    check_key,
    check_labels,
    check_message,
    check_old_worker_id,
    check_worker_id,
    checked_hello,
    checked_query,
    checked_spec,
)
from taskrun.domain.protocol import BATCH, Hello
from taskrun.domain.records import AgentSpec, ModelBackend, TaskQuery, TaskSpec, WorkerInfo

SPEC = TaskSpec("general", '"say hello"')
HELLO = Hello(WorkerInfo("host", "1.0", (AgentSpec("general", backends=(ModelBackend("p", "m"),)),), {"zone": "a"}))


# Names and ids.


@pytest.mark.parametrize("name", ["a", "0", "support_triage", "claude-code", "a" * 63, "a-", "a_"])
def test_an_agent_name_is_let_in(name: str) -> None:
    check_agent_name(name)


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a b", "a\n", "é", "a" * 64, "a.b", "\u0430", "\u0663"])
def test_what_is_no_agent_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="no agent name: one is 1 to 63 of"):
        check_agent_name(name)


@pytest.mark.parametrize("worker_id", ["a", "0", "gpu-7", "a" * 57, "a--b"])
def test_a_worker_id_is_let_in(worker_id: str) -> None:
    check_worker_id(worker_id)
    check_old_worker_id(worker_id)


@pytest.mark.parametrize("worker_id", ["A", "a_b", "Worker_1", "_a"])
def test_capitals_and_underscores_are_for_old_worker_ids_only(worker_id: str) -> None:
    check_old_worker_id(worker_id)
    with pytest.raises(InvalidArgument, match="no worker id: one is 1 to 57 of"):
        check_worker_id(worker_id)


@pytest.mark.parametrize(
    "worker_id", ["", "-a", "a-", "a" * 58, "a\x00b", "a\n", "ä", "\uff41", "a.b", "a/b", "worker:a"]
)
@pytest.mark.parametrize("check", [check_worker_id, check_old_worker_id])
def test_ids_of_any_letter_or_length_are_refused(worker_id: str, check: Any) -> None:
    with pytest.raises(InvalidArgument, match="no worker id"):
        check(worker_id)


def test_a_refused_name_is_shown_short_and_harmless() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_agent_name("\x1b[2J\u202e" + "x" * 10_000)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 250


# Labels.


def test_labels_up_to_the_limits_are_let_in() -> None:
    check_labels({f"{n:063}": "é" * 255 for n in range(64)})
    check_labels({"k": ""})


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({str(n): "" for n in range(65)}, "labels has 65 entries: at most 64"),
        ({"": "x"}, "empty key"),
        ({"k" * 64: "x"}, "a key of labels has 64 characters: at most 63"),
        ({"k": "v" * 256}, "the value of 'k' in labels has 256 characters: at most 255"),
        ({"k\n": "v"}, r"a key of labels holds the character U\+000A"),
        ({"k": "\x00"}, r"U\+0000"),
        ({"k": "\x1b[0m"}, r"U\+001B"),
        ({"k": "\x85"}, r"U\+0085"),
        ({"k": "\ud800"}, r"U\+D800"),
        ({"k": "a\u2028b"}, r"U\+2028"),
    ],
)
def test_labels_past_a_limit_are_refused(labels: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        check_labels(labels)


# JSON.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.booleans(), st.sampled_from([None, 2]))
def test_any_json_is_let_in(value: Any, ascii_only: bool, indent: int | None) -> None:
    check_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent))


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(InvalidArgument, match="input_json"):
            check_json(text)


@pytest.mark.parametrize(
    "text", ["1", " 1e400\n", "9" * 5000, "-0.0", '"\\ud83d\\ude00"', '"\\u0000"', '{"a": {"a": 1}}', '"[[{"', "[]"]
)
def test_unusual_json_is_let_in(text: str) -> None:
    check_json(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not valid JSON: Expecting value at line 1, column 1"),
        ('{"a": 1,\n "b" 2}', "at line 2, column 6"),
        ("[1] 2", "Extra data"),
        ('"a\nb"', "control character"),
        ("\ufeff1", "is not valid JSON"),
        ("NaN", "holds NaN"),
        ('{"a": [-Infinity]}', "holds -Infinity"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "names the key 'c' twice"),
        ('{"\\u0061": 1, "a": 1}', "names the key 'a' twice"),
        ('"\ud800"', "half of a surrogate pair"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"\\uDC00": 1}', "half of a surrogate pair"),
    ],
)
def test_json_that_programs_read_differently_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        check_json(text)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"[":', "}"), ('[{"\\"}":', "}]")])
def test_input_may_have_64_levels(opening: str, closing: str) -> None:
    levels = MAX_INPUT_DEPTH // (opening.count("[") + opening.count("{") - opening.count('"['))
    check_json(opening * levels + "1" + closing * levels)
    check_json("[1" + ",[]" * 1000 + "]")
    with pytest.raises(InvalidArgument, match="at most 64 levels"):
        check_json(opening * levels + "[]" + closing * levels)


@pytest.mark.parametrize("depth", [65, 1000, 100_000, 500_000])
def test_input_of_any_depth_is_refused_and_breaks_nothing(depth: int) -> None:
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        check_json("[" * depth + "]" * depth)


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_input_is_measured_in_bytes(letter: str) -> None:
    size = len(letter.encode())
    text = letter * ((MAX_INPUT_BYTES - 2) // size)
    check_json(f'"{text}"')
    with pytest.raises(InvalidArgument, match="at most 1048576 bytes"):
        check_json(f'"{text}{letter}"')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "The message is empty: it has to say something"),
        (" \n\t", "The message is empty"),
        ("\ud800", "message holds half of a surrogate pair"),
        ("x" * (MAX_MESSAGE_BYTES - 1), "message is too long: at most 65536 bytes"),
        ("é" * (MAX_MESSAGE_BYTES // 2), "message is too long"),
    ],
)
def test_a_message_says_something_and_not_too_much(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        check_message(text)


@pytest.mark.parametrize("text", ["x" * (MAX_MESSAGE_BYTES - 2), '{"a": [[["', "\x00", "two\nlines"])
def test_any_other_text_is_a_message(text: str) -> None:
    check_message(text)


def test_a_key_is_one_line() -> None:
    check_key("")
    check_key("x" * 255)
    for key in ("x" * 256, "two\nlines"):
        with pytest.raises(InvalidArgument, match="idempotency_key"):
            check_key(key)


# Specs.


def test_a_good_spec_stays_as_it_is() -> None:
    spec = TaskSpec(
        "general", "{}", {"a": "b"}, MAX_TIMEOUT_MS, -1000, 100, selector=(("a", "1"), ("b", "2")), idempotency_key="k"
    )
    assert checked_spec(spec) == spec
    assert checked_spec(SPEC) == SPEC


def test_the_selector_is_put_in_order_so_that_equal_needs_are_equal() -> None:
    spec = checked_spec(replace(SPEC, selector=(("zone", "a"), ("gpu", "yes"))))
    assert spec.selector == (("gpu", "yes"), ("zone", "a"))


def test_the_spec_has_labels_of_its_own() -> None:
    labels = {"a": "b"}
    spec = checked_spec(replace(SPEC, labels=labels))
    labels["a"] = "changed"
    assert spec.labels == {"a": "b"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"agent": "No Agent"}, "'No Agent' is no agent name"),
        ({"input_json": "no"}, "input_json is not valid JSON"),
        ({"labels": {"k": "v" * 256}}, "labels"),
        ({"priority": 1001}, "priority is 1001: it must be -1000 to 1000"),
        ({"priority": -1001}, "priority"),
        ({"timeout_ms": -1}, "timeout_ms is -1: it must be 0 to 604800000"),
        ({"timeout_ms": MAX_TIMEOUT_MS + 1}, "timeout_ms"),
        ({"queue_timeout_ms": -1}, "queue_timeout_ms is -1: it must be 0 to 604800000"),
        ({"queue_timeout_ms": MAX_TIMEOUT_MS + 1}, "queue_timeout_ms"),
        ({"max_attempts": 0}, "max_attempts is 0: it must be 1 to 100"),
        ({"max_attempts": 101}, "max_attempts"),
        ({"selector": (("gpu", "x" * 256),)}, "worker_selector"),
        ({"selector": (("gpu", "a"), ("gpu", "b"))}, "worker_selector names a label twice"),
        ({"idempotency_key": "k" * 256}, "idempotency_key has 256 characters: at most 255"),
        ({"idempotency_key": "a\tb"}, r"idempotency_key holds the character U\+0009"),
    ],
)
def test_a_spec_past_a_limit_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        checked_spec(replace(SPEC, **wrong))


# Hellos.


def _hello(**info: Any) -> Hello:
    return replace(HELLO, info=replace(HELLO.info, **info))


def _agent(**fields: Any) -> Hello:
    return _hello(agents=(replace(HELLO.info.agents[0], **fields),))


def _backend(**fields: Any) -> Hello:
    return _agent(backends=(replace(HELLO.info.agents[0].backends[0], **fields),))


def test_a_good_hello_stays_as_it_is() -> None:
    assert checked_hello(HELLO) == HELLO
    assert checked_hello(Hello(WorkerInfo())) == Hello(WorkerInfo())


def test_a_hello_that_names_no_number_of_runs_gets_the_default() -> None:
    assert checked_hello(replace(HELLO, max_concurrent_runs=0)).max_concurrent_runs == 10


def test_features_that_nobody_knows_are_left_out() -> None:
    hello = replace(HELLO, features=frozenset({BATCH, "from the future"}))
    assert checked_hello(hello).features == {BATCH}


def test_a_claimed_id_is_never_a_reason_to_refuse() -> None:
    assert len(checked_hello(replace(HELLO, claimed_id="?" * 10_000)).claimed_id) == 255


def test_a_description_may_have_lines() -> None:
    checked_hello(_agent(description="First.\n\tSecond.\r\n"))


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        (_hello(hostname="h" * 256), "hostname has 256 characters: at most 255"),
        (_hello(hostname="a\x1b[2Jb"), r"hostname holds the character U\+001B"),
        (_hello(version="1\n2"), r"version holds the character U\+000A"),
        (_hello(labels={"": "x"}), "labels holds an empty key"),
        (_hello(agents=tuple(AgentSpec(f"a{n}") for n in range(101))), "agents has 101 entries: at most 100"),
        (_hello(agents=(AgentSpec("a"), AgentSpec("b"), AgentSpec("a"))), "two of one name"),
        (_agent(name="Not A Name"), "no agent name"),
        (_agent(description="d" * 4097), "the description of agent general has 4097 characters"),
        (_agent(description="\x00"), r"U\+0000"),
        (_agent(labels={"k": "\x07"}), "the labels of agent general"),
        (_agent(backends=(ModelBackend(),) * 101), "the backends of agent general has 101 entries"),
        (_backend(provider="p" * 256), "a provider of agent general"),
        (_backend(model_name="\x9b"), "a model_name of agent general"),
        (_backend(modalities=("text",) * 101), "the modalities of agent general"),
        (_backend(tools=("t" * 256,)), "one of the tools of agent general"),
        (_backend(metadata={"k": "v" * 4097}), "the metadata of agent general"),
        (replace(HELLO, max_concurrent_runs=-1), "max_concurrent_runs is -1: it must be 1 to 10000"),
        (replace(HELLO, max_concurrent_runs=MAX_CONCURRENT_RUNS + 1), "max_concurrent_runs"),
    ],
)
def test_a_hello_past_a_limit_is_refused(hello: Hello, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        checked_hello(hello)


# Queries.


@pytest.mark.parametrize(("asked", "got"), [(-1, 100), (0, 100), (1, 1), (1000, 1000), (1001, 1000)])
def test_a_page_is_bounded(asked: int, got: int) -> None:
    assert checked_query(TaskQuery(limit=asked)).limit == got


def test_a_good_query_stays_as_it_is() -> None:
    query = TaskQuery(None, "general", {"a": "b"}, 7, "token")
    assert checked_query(query) == query


@pytest.mark.parametrize("query", [TaskQuery(agent="No"), TaskQuery(labels={"": ""}), TaskQuery(page_token="x" * 1025)])
def test_a_query_past_a_limit_is_refused(query: TaskQuery) -> None:
    with pytest.raises(InvalidArgument):
        checked_query(query)
