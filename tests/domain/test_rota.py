"""In which order several control planes are tried."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.rota import Rota

CHANCES = st.floats(0, 1)


def round_of(rota: Rota[str]) -> list[str]:
    """All that is left of the round under way, or the next one."""
    tried = [rota.next()]
    while rota.left:
        tried.append(rota.next())
    return tried


@given(st.lists(st.text(), min_size=1, unique=True), CHANCES)
def test_each_round_tries_each_place_once(places: list[str], chance: float) -> None:
    rota = Rota(places, lambda: chance)
    for _ in range(3):
        assert sorted(round_of(rota)) == sorted(places)
        assert rota.left == 0


@given(st.lists(st.text(), min_size=2, unique=True), CHANCES)
def test_a_round_ends_with_the_place_that_was_tried_last_in_the_round_before(places: list[str], chance: float) -> None:
    rota = Rota(places, lambda: chance)
    last = round_of(rota)[-1]
    assert round_of(rota)[-1] == last


def test_chance_makes_every_order_and_each_as_often() -> None:
    sixths = [(number + 0.5) / 6 for number in range(6)]
    orders: Counter[tuple[str, ...]] = Counter()
    for numbers in product(sixths, sixths):
        orders[tuple(round_of(Rota("abc", iter(numbers).__next__)))] += 1
    assert len(orders) == 6
    assert set(orders.values()) == {6}


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_both_ends_of_chance_are_within_the_list(chance: float) -> None:
    assert sorted(round_of(Rota("abcd", lambda: chance))) == list("abcd")


def test_one_place_is_tried_over_and_over_a_round_each() -> None:
    rota = Rota(["only"], lambda: 0.5)
    for _ in range(3):
        assert (rota.next(), rota.left) == ("only", 0)
        rota.held()
        assert rota.left == 0


def test_when_a_place_that_held_fails_all_others_are_tried_before_the_round_is_over() -> None:
    rota = Rota("abc", lambda: 0.5)
    rota.next()
    here = rota.next()
    rota.held()
    assert rota.left == 2
    assert {rota.next(), rota.next()} == set("abc") - {here}
    assert rota.left == 0


@pytest.mark.parametrize("first", "abc")
def test_the_first_round_begins_where_it_is_told_to(first: str) -> None:
    rota = Rota("abc", lambda: 0.5, first)
    tried = round_of(rota)
    assert tried[0] == first
    assert sorted(tried) == list("abc")
