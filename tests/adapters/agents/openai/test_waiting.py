from __future__ import annotations

import pytest

from taskrun.adapters.agents.openai.waiting import Patience, asked_delay, duration

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
TEN_YEARS = 3_650 * 86_400.0


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT"}, 20.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20"}, 20.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        # What no calendar has.
        ({"retry-after": "1000000000000"}, TEN_YEARS),
        ({"retry-after": "9" * 400}, TEN_YEARS),
        ({"retry-after": f"Fri, {'9' * 20} Jan 2027 08:00:20 GMT"}, None),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-reset-tokens": "3s", "x-ratelimit-reset-requests": "2s"}, 3.0),
        # The other limit is told, too, but it is not what was reached.
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-remaining-tokens": "9000",
                "x-ratelimit-reset-tokens": "1h",
            },
            2.0,
        ),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "tomorrow"}, None),
    ],
)
def test_an_endpoint_may_say_how_long_it_wants_to_be_left_alone(headers: dict[str, str], delay: float | None) -> None:
    assert asked_delay(headers, NOW) == delay


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("1s", 1), ("8.64s", 8.64), ("1h0m5s", 3605), ("7", 7), ("", None), ("1x", None)],
)
def test_a_duration_is_written_as_go_writes_it(words: str, seconds: float | None) -> None:
    assert duration(words) == seconds


def test_pauses_grow_and_the_fourth_failure_is_the_last() -> None:
    patience = Patience(lambda: 0.0)
    assert [patience.pause(None) for _ in range(4)] == [0.5, 1.0, 2.0, None]


def test_what_the_endpoint_asks_for_is_granted_within_a_minute() -> None:
    now = 100.0
    patience = Patience(lambda: now)
    assert patience.pause(40.0) == 40.0
    now += 40.0
    assert patience.pause(21.0) is None
