"""For how long a finished task is kept for its key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.domain.batch import Retention
from taskrun.domain.limits import RETRY_KEY
from taskrun.testing.contracts.store_cases import COMPLETED, make_task

MINUTE = 60_000
NOW = 100 * 24 * 60 * MINUTE


@pytest.mark.parametrize(("key", "minutes"), [("mine", 24 * 60), (f"{RETRY_KEY}1", 10)])
def test_for_how_long_a_task_is_kept_for_its_key(key: str, minutes: int) -> None:
    retention = Retention.at(NOW, 1, 1)
    made = (make_task(1, COMPLETED, at_ms=NOW - minutes * MINUTE - later) for later in (0, 1))
    assert [retention.keeps(replace(task, spec=replace(task.spec, idempotency_key=key))) for task in made] == [
        True,
        False,
    ]


def test_without_a_key_none_is_kept_and_without_an_age_none_goes_by_time() -> None:
    assert not Retention.at(NOW, 1, 1).keeps(make_task(1, COMPLETED, at_ms=NOW))
    assert (Retention.at(NOW, 5, 1).ended_before_ms, Retention.at(NOW, 0, 1).ended_before_ms) == (NOW - 5, 0)
