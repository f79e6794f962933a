"""A session's agent tells what all its turns cost: each turn has its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskrun.adapters.agents.acp.meter import Meter


def turn(home: Path, goes_on: str, session_id: str, *totals: float) -> list[float | None]:
    meter = Meter(home, goes_on, fork=goes_on not in ("", session_id))
    meter.session_id = session_id
    return [meter.read(total) for total in totals]


def test_the_first_turn_cost_what_its_session_did(tmp_path: Path) -> None:
    assert turn(tmp_path, "", "s", 0.0, 0.25, 1.0) == [0.0, 0.25, 1.0]


def test_each_later_turn_cost_what_was_added_to_it(tmp_path: Path) -> None:
    turn(tmp_path, "", "s", 0.25, 1.0)
    assert turn(tmp_path, "s", "s", 1.0, 1.5) == [0.0, 0.5]
    assert turn(tmp_path, "s", "s", 1.75) == [0.25]


def test_of_a_copy_nobody_knows_from_where_its_agent_counts(tmp_path: Path) -> None:
    turn(tmp_path, "", "s", 1.0)
    assert turn(tmp_path, "s", "copy", 1.5) == [None]
    assert turn(tmp_path, "copy", "copy", 1.75) == [None]
    assert turn(tmp_path, "copy", "copy", 2.0) == [0.25]


def test_an_agent_that_counts_anew_is_noticed_and_next_time_not_trusted(tmp_path: Path) -> None:
    turn(tmp_path, "", "s", 1.0)
    assert turn(tmp_path, "s", "s", 0.25, 0.5) == [0.25, 0.5]
    assert turn(tmp_path, "s", "s", 1.75) == [None]
    assert turn(tmp_path, "s", "s", 2.0) == [0.25]


def test_of_an_agent_that_may_have_forgotten_turns_nobody_knows_what_a_later_one_cost(tmp_path: Path) -> None:
    costs = []
    for goes_on, total in (("", 0.0104), ("s", 0.0105), ("s", 0.0212)):
        meter = Meter(tmp_path, goes_on)
        meter.session_id, meter.agent = "s", "@agentclientprotocol/claude-agent-acp"
        costs.append(meter.read(total))
    assert costs == [0.0104, None, None]


@pytest.mark.parametrize("note", [None, b"", b"\xff", b"{}", b'{"session_id": "other", "cost": 1}', b'{"cost": -1}'])
def test_where_nothing_is_known_of_the_turns_before_nothing_is_known_of_this_one(
    tmp_path: Path, note: bytes | None
) -> None:
    if note is not None:
        (tmp_path / ".taskrun-cost.json").write_bytes(note)
    assert turn(tmp_path, "s", "s", 1.0, 1.5) == [None, None]
    assert turn(tmp_path, "s", "s", 1.75) == [0.25]


def test_what_cannot_be_written_down_leaves_the_next_turn_without(tmp_path: Path) -> None:
    assert turn(tmp_path / "gone", "", "s", 1.0) == [1.0]
    assert turn(tmp_path / "gone", "s", "s", 1.5) == [None]
