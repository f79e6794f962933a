"""The table of what each kind of agent can: it is read as it was written, and has every kind."""

from __future__ import annotations

import pytest

from taskrun.adapters.agents.kinds import offered
from taskrun.testing.contracts.agent_acts import Act
from tests.agent_matrix import BEGIN, END, PAGE, UNTRIED, Matrix, on_page, parse, render, unseen

ALL = dict.fromkeys(Act, "")
MATRIX: Matrix = {"a": ALL, "b": {**ALL, Act.STREAM: "it is mute", Act.FLOOD: "it is slow, and shy"}}


@pytest.mark.parametrize("matrix", [MATRIX, {"a": ALL}])
def test_what_was_rendered_is_read(matrix: Matrix) -> None:
    assert parse(render(matrix)) == matrix


def test_every_kind_that_comes_with_taskrun_has_a_column() -> None:
    assert set(offered()) <= set(parse(on_page(PAGE.read_text())))


def test_what_an_agent_was_never_asked_is_no_yes() -> None:
    assert parse(render({"a": {}})) == {"a": dict.fromkeys(Act, UNTRIED)}


def test_who_was_not_tried_is_named() -> None:
    page = f"{BEGIN}{render(MATRIX)}{END}"
    assert (unseen(page, ["a", "b"]), unseen(page, ["b", "c"])) == ([], ["a"])


def test_an_act_is_a_row_of_its_own() -> None:
    assert len({act.value for act in Act}) == len(Act)
