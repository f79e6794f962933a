from __future__ import annotations

import pytest

from taskrun.adapters.http.worker_page import LATE_MS, age_text, fleet_summary, worker_row
from taskrun.domain.status import WorkerStatus
from tests.adapters.http.conftest import NOW_MS, worker_view


def test_a_worker_that_missed_two_heartbeats_is_late() -> None:
    assert not worker_row(worker_view(heartbeat_age_ms=LATE_MS), NOW_MS).late
    assert worker_row(worker_view(heartbeat_age_ms=LATE_MS + 1), NOW_MS).late


def test_a_worker_without_slots_has_no_load() -> None:
    assert worker_row(worker_view(slots=0), NOW_MS).load == 0


def test_more_runs_than_slots_are_a_full_load() -> None:
    assert worker_row(worker_view(active_runs=3, slots=2), NOW_MS).load == 100


def test_a_worker_whose_stream_broke_is_away_and_its_slots_do_not_count() -> None:
    fleet = fleet_summary([worker_view("a"), worker_view("b", status=WorkerStatus.DISCONNECTED, active_runs=4)])
    assert (fleet.connected, fleet.away, fleet.taken, fleet.slots) == (1, 1, 0, 10)


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [
        (None, "none yet"),
        (0, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (3_599_000, "59 min"),
        (3_600_000, "1 h 0 min"),
        (7_500_000, "2 h 5 min"),
        (86_400_000, "1 d 0 h"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_an_age_is_told_in_its_largest_units(age_ms: int | None, text: str) -> None:
    assert age_text(age_ms) == text
