from __future__ import annotations

import pytest

from taskrun.domain.throttle import Throttle


class Seconds:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def throttle(clock: Seconds) -> Throttle:
    return Throttle(clock, per_minute=6, burst=3, overall_per_minute=60, overall_burst=10, max_addresses=50)


def fail(throttle: Throttle, address: str, times: int) -> None:
    for _ in range(times):
        throttle.failed(address)


def test_an_address_may_fail_as_often_as_the_burst_says(throttle: Throttle) -> None:
    fail(throttle, "a", 2)
    assert throttle.wait("a") == 0
    fail(throttle, "a", 1)
    assert throttle.wait("a") == pytest.approx(10)


def test_the_wait_shrinks_with_time_and_ends(throttle: Throttle, clock: Seconds) -> None:
    fail(throttle, "a", 3)
    clock.now += 4
    assert throttle.wait("a") == pytest.approx(6)
    clock.now += 6
    assert throttle.wait("a") == 0


def test_after_a_long_time_the_whole_burst_is_there_again(throttle: Throttle, clock: Seconds) -> None:
    fail(throttle, "a", 3)
    clock.now += 3600
    fail(throttle, "a", 2)
    assert throttle.wait("a") == 0


def test_failures_that_were_under_way_at_once_are_paid_for_later(throttle: Throttle) -> None:
    fail(throttle, "a", 30)
    assert throttle.wait("a") == pytest.approx(280)


def test_one_that_fails_does_not_hold_up_another(throttle: Throttle) -> None:
    fail(throttle, "a", 30)
    assert throttle.wait("b") == 0


def test_many_that_fail_slow_each_other(throttle: Throttle) -> None:
    for address in range(11):
        throttle.failed(str(address))
    assert throttle.wait("0") == pytest.approx(2)


def test_many_that_fail_do_not_hold_up_one_that_did_not(throttle: Throttle) -> None:
    for address in range(40):
        throttle.failed(str(address))
    assert throttle.wait("honest") == 0


def test_the_memory_of_addresses_is_bounded(throttle: Throttle) -> None:
    for address in range(1000):
        throttle.failed(str(address))
    assert len(throttle._full_at) == 50


def test_the_one_that_failed_longest_ago_is_forgotten_first(throttle: Throttle, clock: Seconds) -> None:
    fail(throttle, "a", 4)
    for address in range(49):
        throttle.failed(str(address))
    throttle.failed("a")
    throttle.failed("one more")
    clock.now += 20
    assert throttle.wait("a") > 0


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:0:ffff::", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_the_addresses_of_one_ipv6_network_share_a_bucket(
    throttle: Throttle, one: str, other: str, together: bool
) -> None:
    fail(throttle, one, 3)
    assert (throttle.wait(other) > 0) is together


def test_one_that_fails_is_told_so_while_it_may_fail(throttle: Throttle) -> None:
    assert [throttle.failed("a") for _ in range(4)] == [0, 0, 0, pytest.approx(10)]


def test_failures_at_once_beyond_the_burst_are_told_to_wait(throttle: Throttle) -> None:
    waits = [throttle.failed("a") for _ in range(30)]
    assert [wait > 0 for wait in waits] == [False] * 3 + [True] * 27


def test_guesses_from_an_address_each_are_told_to_wait_once_all_have_failed_too_often(throttle: Throttle) -> None:
    waits = [throttle.failed(f"10.0.0.{number}") for number in range(200)]
    assert [wait > 0 for wait in waits] == [False] * 10 + [True] * 190


def test_what_others_have_failed_is_held_against_nobody_for_long(throttle: Throttle, clock: Seconds) -> None:
    for number in range(10_000):
        throttle.failed(f"10.{number}")
    throttle.failed("honest, but once wrong")
    assert throttle.wait("honest, but once wrong") <= 60
    clock.now += 60
    assert throttle.wait("honest, but once wrong") == 0


def test_the_common_bucket_fills_again(throttle: Throttle, clock: Seconds) -> None:
    for number in range(10_000):
        throttle.failed(f"10.{number}")
    clock.now += 70
    assert throttle.failed("another") == 0
