"""JSON of programs that mean no good, or count wrongly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskrun.adapters.agents.loose import MOST, amount, number, text


@pytest.mark.parametrize("value", [MOST + 1, 10**400, -1, 0, 0.5, "7", None, [], float("nan"), float("inf"), True])
def test_what_is_no_count_is_none(value: Any) -> None:
    assert number(value) == 0


@pytest.mark.parametrize("value", [1, 7, MOST])
def test_a_count_is_one(value: int) -> None:
    assert number(value) == value


@pytest.mark.parametrize("value", [MOST + 1, 10**400, -0.5, float("nan"), float("inf"), "0.5", None, True])
def test_what_is_no_amount_is_none(value: Any) -> None:
    assert amount(value) is None


@pytest.mark.parametrize("value", [0, 0.25, 3, MOST])
def test_an_amount_is_one(value: float) -> None:
    assert amount(value) == value


def test_half_a_character_is_replaced() -> None:
    assert text(json.loads('"a\\ud800b"')) == "a?b"
