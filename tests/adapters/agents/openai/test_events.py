from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.agents.openai.events import EventReader, TooLong


def test_the_data_of_an_event_is_given_when_it_is_whole() -> None:
    reader = EventReader()
    assert list(reader.feed(b"data: a\n")) == []
    assert list(reader.feed(b"\ndata: b\n\n")) == ["a", "b"]


def test_all_that_is_no_data_is_of_no_interest() -> None:
    assert list(EventReader().feed(b": keep-alive\n\nevent: x\nid: 1\nretry: 5\ndata: a\nnonsense\n\n")) == ["a"]


def test_several_lines_of_data_are_one_event_and_one_blank_belongs_to_the_colon() -> None:
    assert list(EventReader().feed(b"data:  a\r\ndata:b\r\ndata\r\n\r\n")) == [" a\nb\n"]


def test_an_event_that_does_not_end_is_none() -> None:
    assert list(EventReader().feed(b"data: a\n\ndata: b\n")) == ["a"]


@given(st.lists(st.integers(0, 20)))
def test_it_makes_no_difference_how_it_arrives(cuts: list[int]) -> None:
    text, reader, begin = "data: é\n\ndata: b\ndata: c\n\n".encode(), EventReader(), 0
    events: list[str] = []
    for end in [*sorted(cuts), len(text)]:
        events += reader.feed(text[begin:end])
        begin = max(begin, end)
    assert events == ["é", "b\nc"]


@pytest.mark.parametrize(
    "text", [b"data: 1234", b"data: 1234\n", b"data: 1\ndata: 2\ndata: 3456789\n"], ids=["begun", "line", "lines"]
)
def test_an_event_without_end_is_not_kept(text: bytes) -> None:
    with pytest.raises(TooLong):
        list(EventReader(limit=9).feed(text))


CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(CHARACTERS, st.booleans(), st.integers(1, 70), st.sampled_from(["", "before"]))
def test_a_text_that_is_too_long_comes_in_parts_that_add_up_to_it(text: str, ascii: bool, size: int, word: str) -> None:
    told = {"word": word, "choices": [0, {"delta": {"content": text}, "end": [{}]}], "n": 1}
    line = b"data: " + json.dumps(told, ensure_ascii=ascii).encode() + b"\n\n"
    reader = EventReader(limit=200)
    parts = [json.loads(data) for n in range(0, len(line), size) for data in reader.feed(line[n : n + size])]
    assert "".join(part["choices"][1]["delta"]["content"] for part in parts) == text
    parts[-1]["choices"][1]["delta"]["content"] = text
    assert parts[-1] == told


@pytest.mark.parametrize("line", [b"data: [1, 2, 3, 4", b'data: 1\ndata: ["23456789'])
def test_of_what_is_long_for_other_reasons_nothing_is_kept(line: bytes) -> None:
    with pytest.raises(TooLong):
        list(EventReader(limit=12).feed(line + b"123456789"))
