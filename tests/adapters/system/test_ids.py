from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.system.ids import UuidV7Source


def _ms(text: str) -> int:
    return uuid.UUID(text).int >> 80


def test_an_id_is_a_version_7_uuid_in_text_form() -> None:
    new_id = UuidV7Source()
    for text in (new_id() for _ in range(1000)):
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_an_id_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = _ms(UuidV7Source()())
    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_sort_in_the_order_of_making() -> None:
    new_id = UuidV7Source()
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


@given(st.lists(st.integers(0, 2**48 - 1), min_size=1))
def test_ids_sort_in_the_order_of_making_whatever_the_clock_does(times: list[int]) -> None:
    clock = iter(times)
    new_id = UuidV7Source(utc_ms=lambda: next(clock))
    made = [new_id() for _ in times]
    assert made == sorted(set(made))
    assert [_ms(text) for text in made] == [max(times[: n + 1]) for n in range(len(times))]


def test_a_counter_that_is_used_up_borrows_the_next_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskrun.adapters.system.ids._SEED_END", 2**42)
    new_id = UuidV7Source(utc_ms=lambda: 5, random_bytes=lambda size: b"\xff" * size)
    made = [new_id(), new_id()]
    assert [_ms(text) for text in made] == [5, 6]


def test_two_sources_do_not_make_one_id_in_the_same_millisecond() -> None:
    sources = [UuidV7Source(utc_ms=lambda: 5) for _ in range(100)]
    assert len({new_id() for new_id in sources for _ in range(100)}) == 10_000


def test_random_bytes_are_used_once() -> None:
    blocks: list[int] = []

    def random_bytes(size: int) -> bytes:
        blocks.append(size)
        return len(blocks).to_bytes(1, "big") * size

    new_id = UuidV7Source(utc_ms=lambda: 5, random_bytes=random_bytes)
    made = [new_id() for _ in range(3000)]
    assert sum(blocks) >= 8 + 4 * 3000
    assert {text[-8:] for text in made} == {f"{n:02x}" * 4 for n in range(1, len(blocks) + 1)}
