from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from taskrun.adapters.ca.chain import verify_client
from taskrun.adapters.ca.clients import create_client
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.ca.identity import parse_peer
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.domain.identity import CLIENT_ROLES, Role

DAY = timedelta(days=1)


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    init_certs(tmp_path / "certs")
    return tmp_path / "certs"


@pytest.mark.parametrize("role", CLIENT_ROLES)
def test_a_client_is_made_with_its_name_and_role(certs: Path, tmp_path: Path, role: Role) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    paths = create_client(certs, tmp_path / "ann", "ann", role, 30 * DAY, now=now)
    assert sorted(path.name for path in paths) == ["ca.crt", "client.crt", "client.key"]
    made = (tmp_path / "ann" / "client.crt").read_bytes()
    identity = parse_peer(made)
    assert (identity.role, identity.name) == (role, "ann")
    assert identity.not_after_ms == int((now + 30 * DAY).timestamp()) * 1000
    ca = x509.load_pem_x509_certificate((certs / "ca.crt").read_bytes())
    verify_client(x509.load_pem_x509_certificate(made), ca, now)


def test_the_key_is_its_owners_alone(certs: Path, tmp_path: Path) -> None:
    create_client(certs, tmp_path / "ann", "ann", Role.READ, DAY)
    assert (tmp_path / "ann" / "client.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ann" / "ca.crt").read_bytes() == (certs / "ca.crt").read_bytes()


def test_nothing_is_overwritten(certs: Path, tmp_path: Path) -> None:
    create_client(certs, tmp_path / "ann", "ann", Role.READ, DAY)
    before = (tmp_path / "ann" / "client.crt").read_bytes()
    with pytest.raises(FailedPrecondition, match="exists already"):
        create_client(certs, tmp_path / "ann", "ann", Role.ADMIN, DAY)
    assert (tmp_path / "ann" / "client.crt").read_bytes() == before


@pytest.mark.parametrize("name", ["", "../ann", "a b", "worker:w"])
def test_a_crooked_name_is_refused(certs: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument):
        create_client(certs, tmp_path / "out", name, Role.READ, DAY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("role", [Role.WORKER, Role.NOBODY])
def test_no_client_is_a_worker_or_nobody(certs: Path, tmp_path: Path, role: Role) -> None:
    with pytest.raises(InvalidArgument, match="no role of a client"):
        create_client(certs, tmp_path / "out", "ann", role, DAY)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=3651)])
def test_a_life_too_short_or_too_long_is_refused(certs: Path, tmp_path: Path, lifetime: timedelta) -> None:
    with pytest.raises(InvalidArgument, match="1 second to 10 years"):
        create_client(certs, tmp_path / "out", "ann", Role.READ, lifetime)


def test_it_ends_with_the_ca_at_the_latest(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    init_certs(tmp_path / "certs", now=now - timedelta(days=3000))
    create_client(tmp_path / "certs", tmp_path / "ann", "ann", Role.READ, timedelta(days=3650), now=now)
    identity = parse_peer((tmp_path / "ann" / "client.crt").read_bytes())
    assert identity.not_after_ms == int((now + timedelta(days=650)).timestamp()) * 1000


def test_without_the_cas_key_nothing_is_made(certs: Path, tmp_path: Path) -> None:
    (certs / "ca.key").unlink()
    with pytest.raises(FailedPrecondition, match=r"ca\.key is missing"):
        create_client(certs, tmp_path / "out", "ann", Role.READ, DAY)


def test_what_is_no_ca_signs_nobody(certs: Path, tmp_path: Path) -> None:
    for kind in ("crt", "key"):
        (certs / f"client.{kind}").rename(certs / f"ca.{kind}")
    with pytest.raises(FailedPrecondition, match="no CA's certificate"):
        create_client(certs, tmp_path / "out", "ann", Role.READ, DAY)
    assert not (tmp_path / "out").exists()
