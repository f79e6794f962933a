from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.csr import requested_key
from taskrun.adapters.ca.enroll_keys import checked_enrollment, fingerprint_of, new_key_and_csr
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain.errors import FailedPrecondition, ProtocolViolation, Unauthenticated
from taskrun.ports.enrollment import Enrollment

KEY, CSR = new_key_and_csr()


@pytest.fixture
def authority(certs: Path) -> FileAuthority:
    return FileAuthority(certs / "ca.crt", certs / "ca.key", SystemClock())


@pytest.fixture
def answer(authority: FileAuthority) -> Enrollment:
    return Enrollment("w-1", authority.sign_worker(CSR, "w-1").certificate_pem, authority.certificate_pem())


def check(answer: Enrollment, pin: str, key: bytes = KEY, now: datetime | None = None) -> Enrollment:
    return checked_enrollment(answer, pin, key, now or datetime.now(UTC))


def test_the_request_is_one_that_a_ca_signs() -> None:
    requested_key(CSR)


def test_every_worker_makes_a_key_of_its_own() -> None:
    assert new_key_and_csr()[0] != KEY


def test_an_honest_answer_is_taken(answer: Enrollment, authority: FileAuthority) -> None:
    assert check(answer, authority.fingerprint()) == answer


def test_another_ca_than_the_pinned_one_is_refused(answer: Enrollment) -> None:
    with pytest.raises(Unauthenticated, match="CA is not the one in the token"):
        check(answer, "0" * 64)


def test_a_middleman_s_own_ca_is_refused(authority: FileAuthority, tmp_path: Path) -> None:
    init_certs(tmp_path)
    evil = FileAuthority(tmp_path / "ca.crt", tmp_path / "ca.key", SystemClock())
    answer = Enrollment("w-1", evil.sign_worker(CSR, "w-1").certificate_pem, evil.certificate_pem())
    with pytest.raises(Unauthenticated):
        check(answer, authority.fingerprint())


def test_a_second_ca_smuggled_in_beside_the_pinned_one_is_refused(
    answer: Enrollment, authority: FileAuthority, tmp_path: Path
) -> None:
    init_certs(tmp_path)
    both = replace(answer, ca_pem=answer.ca_pem + (tmp_path / "ca.crt").read_bytes())
    with pytest.raises(ProtocolViolation):
        check(both, authority.fingerprint())


def test_what_stands_around_the_pinned_ca_is_not_kept(answer: Enrollment, authority: FileAuthority) -> None:
    other = b"-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n"
    assert check(replace(answer, ca_pem=answer.ca_pem + other), authority.fingerprint()) == answer


def test_a_certificate_of_another_ca_is_refused(answer: Enrollment, authority: FileAuthority, tmp_path: Path) -> None:
    init_certs(tmp_path)
    evil = FileAuthority(tmp_path / "ca.crt", tmp_path / "ca.key", SystemClock())
    foreign = replace(answer, certificate_pem=evil.sign_worker(CSR, "w-1").certificate_pem)
    with pytest.raises(ProtocolViolation):
        check(foreign, authority.fingerprint())


def test_a_certificate_for_a_key_that_we_do_not_hold_is_refused(answer: Enrollment, authority: FileAuthority) -> None:
    with pytest.raises(ProtocolViolation, match="another key"):
        check(answer, authority.fingerprint(), key=new_key_and_csr()[0])


def test_a_certificate_in_another_name_than_told_is_refused(answer: Enrollment, authority: FileAuthority) -> None:
    with pytest.raises(ProtocolViolation, match="somebody else's"):
        check(replace(answer, worker_id="w-2"), authority.fingerprint())


@pytest.mark.parametrize("name", ["client", "server"])
def test_a_certificate_of_another_role_is_refused(
    answer: Enrollment, authority: FileAuthority, certs: Path, name: str
) -> None:
    with pytest.raises(ProtocolViolation):
        check(replace(answer, certificate_pem=(certs / f"{name}.crt").read_bytes()), authority.fingerprint())


@pytest.mark.parametrize("days", [-1, 8])
def test_a_wrong_clock_is_named_as_such(answer: Enrollment, authority: FileAuthority, days: int) -> None:
    with pytest.raises(FailedPrecondition, match="clock"):
        check(answer, authority.fingerprint(), now=datetime.now(UTC) + timedelta(days=days))


@pytest.mark.parametrize("noise", [b"", b"no certificate", b"\xff\x00"])
def test_an_answer_without_certificates_is_refused(answer: Enrollment, authority: FileAuthority, noise: bytes) -> None:
    for broken in (replace(answer, ca_pem=noise), replace(answer, certificate_pem=noise)):
        with pytest.raises(ProtocolViolation):
            check(broken, authority.fingerprint())


def test_the_fingerprint_of_a_file_is_the_pin_of_its_ca(authority: FileAuthority, certs: Path) -> None:
    assert fingerprint_of((certs / "ca.crt").read_bytes()) == authority.fingerprint()
    assert fingerprint_of(b"something else") == ""
