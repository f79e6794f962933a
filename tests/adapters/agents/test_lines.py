from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.agents.containment.lines import Line, LineSplitter
from taskrun.adapters.agents.containment.tail import Tail


def split(*blocks: bytes, limit: int = 1024) -> list[Line]:
    splitter = LineSplitter(limit)
    return [line for block in blocks for line in splitter.feed(block)] + splitter.finish()


@given(st.lists(st.binary(max_size=20)))
def test_lines_do_not_depend_on_the_blocks_they_come_in(blocks: list[bytes]) -> None:
    assert split(*blocks) == split(b"".join(blocks))


def test_a_character_across_two_blocks_is_one_character() -> None:
    assert split(b"caf\xc3", b"\xa9\nau lait") == [Line("café"), Line("au lait")]


def test_a_line_that_is_no_utf8_is_replaced_and_the_next_one_is_read() -> None:
    assert split(b"\xff\xfe!\nfine\n") == [Line("\ufffd\ufffd!"), Line("fine")]


def test_a_line_beyond_the_limit_is_cut_and_says_so() -> None:
    assert split(b"abc", b"def\nok\n", limit=4) == [Line("abcd", cut=True), Line("ok")]


def test_a_line_of_exactly_the_limit_is_whole() -> None:
    assert split(b"abcd\n", limit=4) == [Line("abcd")]


def test_an_endless_line_takes_no_more_memory_than_the_limit() -> None:
    splitter = LineSplitter(limit=1000)
    for _ in range(1000):
        splitter.feed(b"x" * 1000)
    assert len(splitter._line) == 1000


def test_carriage_returns_belong_to_the_line_end() -> None:
    assert split(b"one\r\ntwo\r\n") == [Line("one"), Line("two")]


def test_standard_error_is_kept_as_a_bounded_tail() -> None:
    tail = Tail(limit=10)
    for number in range(1000):
        tail.feed(f"{number}\n".encode())
    assert str(tail) == "... 7\n998\n999"


def test_a_short_tail_is_whole() -> None:
    tail = Tail()
    tail.feed(b"bad \xff thing\n")
    assert str(tail) == "bad \ufffd thing"
