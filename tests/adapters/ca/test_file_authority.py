from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.certificates import pem, self_signed_ca
from taskrun.adapters.ca.disk import create_all
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.ca.keys import to_pem
from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.now import Now
from taskrun.testing.contracts.authority import make_request

BORN = datetime(2026, 3, 4, 15, 16, 17, tzinfo=UTC)


@dataclass
class SetClock:
    """Stands where it was set."""

    at: datetime

    def now(self) -> Now:
        return Now(0.0, int(self.at.timestamp() * 1000) + 987)

    async def sleep_until(self, mono: float) -> None:
        raise NotImplementedError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    init_certs(tmp_path, now=BORN)
    return tmp_path


def authority_of(directory: Path, at: datetime = BORN, name: str = "ca") -> FileAuthority:
    return FileAuthority(directory / f"{name}.crt", directory / f"{name}.key", SetClock(at))


def signed(authority: FileAuthority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.sign_worker(make_request(), "w-1").certificate_pem)


def test_its_certificate_is_the_file_s(directory: Path) -> None:
    assert authority_of(directory).certificate_pem() == (directory / "ca.crt").read_bytes()


def test_a_certificate_lasts_seven_days_to_the_second(directory: Path) -> None:
    certificate = signed(authority_of(directory))
    assert certificate.not_valid_after_utc == BORN + timedelta(days=7)


def test_a_certificate_ends_with_the_ca_at_the_latest(directory: Path) -> None:
    last_hour = BORN + timedelta(days=3650) - timedelta(hours=1)
    certificate = signed(authority_of(directory, last_hour))
    assert certificate.not_valid_after_utc == BORN + timedelta(days=3650)


def test_an_expired_ca_is_refused_at_once(directory: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"ca\.crt expired"):
        authority_of(directory, BORN + timedelta(days=3650))


def test_a_ca_that_expires_later_signs_nothing_more(directory: Path) -> None:
    clock = SetClock(BORN)
    authority = FileAuthority(directory / "ca.crt", directory / "ca.key", clock)
    clock.at += timedelta(days=3650)
    with pytest.raises(FailedPrecondition, match="expired"):
        signed(authority)


def test_a_ca_key_that_others_may_read_is_refused(directory: Path) -> None:
    (directory / "ca.key").chmod(0o640)
    with pytest.raises(FailedPrecondition, match="chmod 600"):
        authority_of(directory)


def test_a_ca_key_of_another_ca_is_refused(directory: Path, certs: Path) -> None:
    (directory / "ca.key").write_bytes((certs / "ca.key").read_bytes())
    with pytest.raises(FailedPrecondition, match="not the key of"):
        authority_of(directory)


@pytest.mark.parametrize("name", ["server", "worker"])
def test_a_certificate_that_is_no_ca_s_is_refused(directory: Path, name: str) -> None:
    with pytest.raises(FailedPrecondition, match="no CA's certificate"):
        authority_of(directory, name=name)


def test_a_ca_with_a_key_that_peers_cannot_use_is_refused(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP521R1())
    odd = self_signed_ca(key, BORN)
    create_all(directory, {"odd.crt": pem(odd.certificate), "odd.key": to_pem(key)})
    with pytest.raises(FailedPrecondition, match="must be P-256"):
        authority_of(directory, name="odd")


def test_rsa_requests_are_signed_only_if_enabled(directory: Path) -> None:
    clock, request = SetClock(BORN), make_request(rsa.generate_private_key(65537, 2048))
    enabled = FileAuthority(directory / "ca.crt", directory / "ca.key", clock, allow_rsa=True)
    assert enabled.sign_worker(request, "w-1").serial
