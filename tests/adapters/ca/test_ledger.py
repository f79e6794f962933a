"""Certificates that are signed without a control plane leave a copy beside the CA's key, which one can list."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from taskrun.adapters.ca.clients import create_client
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.ledger import DIRECTORY, CertificateLedger, enter
from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.identity import Identity, Role

DAY = timedelta(days=1)


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    init_certs(tmp_path / "certs")
    return tmp_path / "certs"


@pytest.fixture
def cautious() -> Iterator[None]:
    """A umask that leaves nothing to others."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def made(certs: Path, name: str) -> Identity:
    """A client's certificate, by the CA in `certs`."""
    to = certs.parent / f"for-{name}"
    create_client(certs, to, name, Role.READ, DAY)
    return parse_peer((to / "client.crt").read_bytes())


async def test_what_init_made_and_what_was_made_since_is_told_once(certs: Path) -> None:
    ledger = CertificateLedger(certs)
    assert {each.owner for each in await ledger.news()} == {"client:admin", "worker:local"}
    ann, bob = made(certs, "ann"), made(certs, "bob")
    assert sorted(await ledger.news(), key=lambda each: each.name) == [ann, bob]
    assert await ledger.news() == []


async def test_another_control_plane_of_the_directory_is_told_all_of_it(certs: Path) -> None:
    made(certs, "ann")
    await CertificateLedger(certs).news()
    assert len(await CertificateLedger(certs).news()) == 3


async def test_a_certificate_that_was_replaced_is_told_too(certs: Path, tmp_path: Path) -> None:
    ledger = CertificateLedger(certs)
    await ledger.news()
    create_client(certs, tmp_path / "new", "admin", Role.ADMIN, DAY)
    shutil.rmtree(certs / DIRECTORY)
    (certs / "client.crt").write_bytes((tmp_path / "new" / "client.crt").read_bytes())
    os.utime(certs / "client.crt", (2_000_000_000, 2_000_000_000))
    assert [each.owner for each in await ledger.news()] == ["client:admin"]


async def test_what_is_no_certificate_of_this_ca_is_passed_over(certs: Path, tmp_path: Path) -> None:
    init_certs(tmp_path / "other")
    issued = certs / DIRECTORY
    issued.mkdir()
    (issued / "strange.crt").write_bytes((tmp_path / "other" / "client.crt").read_bytes())
    (issued / "noise.crt").write_bytes(b"\xff")
    (issued / "directory.crt").mkdir()
    (issued / "dangling.crt").symlink_to("nowhere")
    (issued / "notes.txt").touch()
    assert len(await CertificateLedger(certs).news()) == 2


async def test_without_a_directory_there_is_no_news(tmp_path: Path) -> None:
    assert await CertificateLedger(tmp_path / "nowhere").news() == []


@pytest.mark.usefixtures("cautious")
def test_a_copy_may_be_read_by_whoever_runs_the_control_plane(certs: Path) -> None:
    made(certs, "ann")
    [copy] = (certs / DIRECTORY).iterdir()
    assert [path.stat().st_mode & 0o777 for path in (copy.parent, copy)] == [0o755, 0o644]


def test_what_was_not_handed_out_is_not_kept(certs: Path, tmp_path: Path) -> None:
    made(certs, "ann")
    with pytest.raises(FailedPrecondition, match="exists already"):
        create_client(certs, tmp_path / "for-ann", "ann", Role.READ, DAY)
    assert len(list((certs / DIRECTORY).iterdir())) == 1


def test_what_cannot_be_kept_is_not_handed_out(certs: Path, tmp_path: Path) -> None:
    (certs / DIRECTORY).touch()
    with pytest.raises(FailedPrecondition, match="issued cannot be written"):
        create_client(certs, tmp_path / "for-ann", "ann", Role.READ, DAY)
    assert not (tmp_path / "for-ann").exists()


def test_a_copy_is_named_by_its_serial_number(certs: Path) -> None:
    certificate = x509.load_pem_x509_certificate((certs / "client.crt").read_bytes())
    assert enter(certs, certificate) == certs / DIRECTORY / f"{certificate.serial_number:x}.crt"
