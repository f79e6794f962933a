"""What a certificate is worth, and what a revocation is about."""

from __future__ import annotations

import pytest

from taskrun.domain.certificates.certificate import Certificate, CertificateState, Revocation, normal_serial
from taskrun.domain.certificates.life import RETRY_MS, Life
from taskrun.domain.certificates.renewal import Renewal
from taskrun.domain.certificates.revoked import Revoked
from taskrun.domain.identity import Identity, Role

WEEK = 7 * 86_400_000
CERTIFICATE = Certificate("a1", "worker:w-1", issued_at_ms=1_000, not_after_ms=5_000)


def peer(name: str = "w-1", serial: str = "a1", issued_at_ms: int = 1_000, role: Role = Role.WORKER) -> Identity:
    return Identity(role, name, 5_000, serial, issued_at_ms)


def test_a_peer_s_owner_is_the_common_name_of_its_certificate() -> None:
    assert peer().owner == "worker:w-1"
    assert CERTIFICATE.identity == peer()


@pytest.mark.parametrize(
    ("now_ms", "state"),
    [(1_000, CertificateState.VALID), (4_999, CertificateState.VALID), (5_000, CertificateState.EXPIRED)],
)
def test_a_certificate_is_worth_nothing_from_its_end_on(now_ms: int, state: CertificateState) -> None:
    assert CERTIFICATE.state(now_ms) is state


def test_one_that_was_revoked_stays_so_after_its_end() -> None:
    gone = Certificate("a1", "worker:w-1", 1_000, 5_000, revoked_at_ms=2_000)
    assert {gone.state(now_ms) for now_ms in (2_000, 6_000)} == {CertificateState.REVOKED}


def test_a_serial_number_is_one_certificate_s() -> None:
    word = Revocation(9_000, serial="a1")
    assert word.covers(peer())
    assert not word.covers(peer(serial="a2"))
    assert word.names(CERTIFICATE)


@pytest.mark.parametrize(("issued_at_ms", "covered"), [(0, True), (1_000, True), (2_000, False), (3_000, False)])
def test_all_that_an_owner_was_given_before_the_second_of_the_word_is_covered(issued_at_ms: int, covered: bool) -> None:
    assert Revocation(2_999, owner="worker:w-1").covers(peer(issued_at_ms=issued_at_ms)) is covered


def test_a_client_of_a_worker_s_name_is_somebody_else() -> None:
    word = Revocation(9_000, owner="worker:w-1")
    assert not word.covers(peer(role=Role.ADMIN))
    assert word.names(CERTIFICATE)
    assert not word.names(Certificate("a1", "client:w-1", 1_000, 5_000))


def test_what_was_revoked_is_known_whatever_the_order_in_which_it_was_heard() -> None:
    words = [Revocation(9_000, owner="worker:w-1"), Revocation(1_000, owner="worker:w-1"), Revocation(1, serial="ff")]
    for heard in (words, words[::-1]):
        revoked = Revoked()
        for word in heard:
            revoked.learn(word)
        assert revoked.covers(peer(issued_at_ms=8_000))
        assert not revoked.covers(peer(issued_at_ms=9_000))
        assert not revoked.covers(peer("w-2"))
        assert revoked.covers(peer("w-2", serial="ff"))


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("a1", "a1"),
        ("0A:1B:00", "a1b00"),
        (" 0x0fF ", "ff"),
        ("0", ""),
        ("", ""),
        ("a1;", ""),
        ("f" * 40, "f" * 40),
        ("f" * 41, ""),
    ],
)
def test_a_serial_number_has_one_form(text: str, serial: str) -> None:
    assert normal_serial(text) == serial


# Its life.


@pytest.mark.parametrize(("chance", "due"), [(0.0, 0.45), (0.5, 0.5), (1.0, 0.55)])
def test_a_certificate_is_renewed_around_the_half_of_its_life(chance: float, due: float) -> None:
    assert Life(1_000, 1_000 + WEEK).renewed_at_ms(chance) == 1_000 + round(due * WEEK)


def test_it_is_aged_after_three_quarters() -> None:
    assert Life(1_000, 5_000).aged_at_ms == 4_000


@pytest.mark.parametrize(("lasts_ms", "retry_ms"), [(WEEK, RETRY_MS), (20_000, 1_000), (0, 1), (-5, 1)])
def test_an_attempt_is_repeated_after_five_minutes_or_a_twentieth_of_a_short_life(lasts_ms: int, retry_ms: int) -> None:
    assert Life(1_000, 1_000 + lasts_ms).retry_ms() == retry_ms


def test_a_renewal_is_due_at_half_and_repeated_until_it_works() -> None:
    renewal = Renewal(Life(0, WEEK), lambda: 0.5)
    assert renewal.wait_ms(0) == WEEK // 2
    assert not renewal.is_due(WEEK // 2 - 1)
    assert renewal.is_due(WEEK // 2)
    renewal.failed(WEEK // 2)
    assert not renewal.is_due(WEEK // 2 + RETRY_MS - 1)
    assert renewal.is_due(WEEK // 2 + RETRY_MS)
    assert renewal.wait_ms(WEEK) == 0
    renewal.renewed(Life(WEEK // 2, WEEK // 2 + WEEK))
    assert renewal.wait_ms(WEEK // 2) == WEEK // 2


def test_that_it_fails_is_grave_from_three_quarters_on() -> None:
    renewal = Renewal(Life(0, 4_000), lambda: 0.5)
    assert [renewal.is_grave(now_ms) for now_ms in (2_999, 3_000)] == [False, True]
