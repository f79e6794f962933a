from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.daemon.chunks import chunks, clipped, one_line
from taskrun.domain.limits import MAX_CHUNK_BYTES

# Characters of one to four bytes, so that borders fall into the middle of them.
LONG_TEXTS = st.builds(
    lambda unit, count, lead: lead + unit * count,
    st.sampled_from(["a", "é", "€", "😀", "a😀é"]),
    st.integers(0, 70_000),
    st.text(max_size=3),
)


@given(LONG_TEXTS)
def test_chunks_put_together_are_the_text(text: str) -> None:
    assert "".join(chunks(text)) == text.encode(errors="replace").decode()


@given(LONG_TEXTS)
def test_no_chunk_is_empty_or_larger_than_the_limit(text: str) -> None:
    assert all(0 < len(chunk.encode()) <= MAX_CHUNK_BYTES for chunk in chunks(text))


def test_a_text_that_fits_is_one_chunk() -> None:
    assert list(chunks("é" * (MAX_CHUNK_BYTES // 2))) == ["é" * (MAX_CHUNK_BYTES // 2)]


def test_an_empty_text_is_nothing() -> None:
    assert list(chunks("")) == []


def test_a_lone_surrogate_is_replaced_because_utf8_cannot_express_it() -> None:
    assert list(chunks("a\ud800b")) == ["a?b"]
    assert clipped("a\ud800b", 10) == "a?b"


def test_a_clipped_text_shows_that_it_was_cut() -> None:
    assert clipped("0123456789", 10) == "0123456789"
    assert clipped("0123456789x", 10) == "012345 ..."


def test_one_line_is_the_first_that_says_something() -> None:
    assert one_line("\n  \n boom \n at line 3", 100) == "boom"
    assert one_line("", 100) == ""
