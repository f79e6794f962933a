from __future__ import annotations

import pytest

from taskrun.adapters.agents.claude_patience import Patience

#: Three tries of 18 s.
SHIPPED = {"CLAUDE_CODE_MAX_RETRIES": "2", "API_TIMEOUT_MS": "18000"}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_try_that_can_end_within_the_minute_is_waited_for(clock: Clock) -> None:
    patience = Patience(SHIPPED, clock)
    assert (patience.seconds, patience.lasts(30), patience.lasts(42), patience.lasts(43)) == (60, True, True, False)


def test_what_was_waited_already_counts(clock: Clock) -> None:
    patience = Patience(SHIPPED, clock)
    clock.now += 30
    assert (patience.lasts(1), patience.lasts(30)) == (True, False)


def test_whoever_is_heard_is_waited_for_anew(clock: Clock) -> None:
    patience = Patience(SHIPPED, clock)
    clock.now += 600
    patience.hears()
    assert patience.lasts(30)


@pytest.mark.parametrize(
    "environ", [{}, {**SHIPPED, "API_TIMEOUT_MS": "long"}, {**SHIPPED, "API_TIMEOUT_MS": "9" * 400}]
)
def test_without_limits_everything_is_waited_for(clock: Clock, environ: dict[str, str]) -> None:
    assert Patience(environ, clock).lasts(1e9)


def test_whoever_sets_longer_ones_waits_longer(clock: Clock) -> None:
    assert Patience({"CLAUDE_CODE_MAX_RETRIES": "10", "API_TIMEOUT_MS": "600000"}, clock).lasts(5000)
