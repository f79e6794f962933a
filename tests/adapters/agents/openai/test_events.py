from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.agents.openai.events import EventReader, TooLong


def test_the_data_of_an_event_is_given_when_it_is_whole() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\n") == []
    assert reader.feed(b"\ndata: b\n\n") == ["a", "b"]


def test_all_that_is_no_data_is_of_no_interest() -> None:
    assert EventReader().feed(b": keep-alive\n\nevent: x\nid: 1\nretry: 5\ndata: a\nnonsense\n\n") == ["a"]


def test_several_lines_of_data_are_one_event_and_one_blank_belongs_to_the_colon() -> None:
    assert EventReader().feed(b"data:  a\r\ndata:b\r\ndata\r\n\r\n") == [" a\nb\n"]


def test_an_event_that_does_not_end_is_none() -> None:
    assert EventReader().feed(b"data: a\n\ndata: b\n") == ["a"]


@given(st.lists(st.integers(0, 20)))
def test_it_makes_no_difference_how_it_arrives(cuts: list[int]) -> None:
    text, reader, events, begin = "data: é\n\ndata: b\ndata: c\n\n".encode(), EventReader(), [], 0
    for end in [*sorted(cuts), len(text)]:
        events += reader.feed(text[begin:end])
        begin = max(begin, end)
    assert events == ["é", "b\nc"]


@pytest.mark.parametrize(
    "text", [b"data: 1234", b"data: 1234\n", b"data: 1\ndata: 2\ndata: 3456789\n"], ids=["begun", "line", "lines"]
)
def test_an_event_without_end_is_not_kept(text: bytes) -> None:
    with pytest.raises(TooLong):
        EventReader(limit=9).feed(text)
