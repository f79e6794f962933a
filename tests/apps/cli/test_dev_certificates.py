from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskrun.adapters.ca.files import CERT_FILES, check_certs, init_certs
from taskrun.apps.cli.dev_certificates import certificates
from taskrun.domain.errors import FailedPrecondition

LONG_AGO = datetime.now(UTC) - timedelta(days=500)


def contents(certs: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in certs.iterdir()}


def expired(certs: Path) -> None:
    shutil.rmtree(certs)
    init_certs(certs, now=LONG_AGO)


def without_most(certs: Path) -> None:
    for name in set(CERT_FILES) - {"ca.crt"}:
        (certs / name).unlink()


def with_another_server(certs: Path) -> None:
    init_certs(certs.parent / "other")
    for kind in ("crt", "key"):
        shutil.copy(certs.parent / "other" / f"server.{kind}", certs / f"server.{kind}")


def with_another_client(certs: Path) -> None:
    init_certs(certs.parent / "other")
    for kind in ("crt", "key"):
        shutil.copy(certs.parent / "other" / f"client.{kind}", certs / f"client.{kind}")


SPOILT = [expired, without_most, with_another_server, with_another_client]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    certificates(tmp_path / "dev")
    return tmp_path / "dev"


def test_good_certificates_are_used_again(directory: Path) -> None:
    before = contents(directory / "certs")
    assert certificates(directory) == directory / "certs"
    assert contents(directory / "certs") == before
    assert (directory / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("spoil", SPOILT)
def test_its_own_certificates_are_made_anew_when_they_are_of_no_use(
    directory: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(directory / "certs")
    check_certs(certificates(directory))
    assert capsys.readouterr().err.endswith("Making new ones.\n")


@pytest.mark.parametrize("spoil", SPOILT)
def test_somebody_else_s_certificates_are_left_alone(directory: Path, spoil: Callable[[Path], None]) -> None:
    (directory / ".gitignore").write_text("build/\n")
    spoil(directory / "certs")
    before = contents(directory / "certs")
    with pytest.raises(FailedPrecondition, match=f"Delete {directory / 'certs'}, and dev makes new ones"):
        certificates(directory)
    assert contents(directory / "certs") == before


def test_somebody_else_s_gitignore_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("build/\n")
    certificates(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "build/\n"


@pytest.mark.parametrize("below", ["", "dev"])
def test_a_file_in_the_directory_s_place_is_one_clear_sentence(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FailedPrecondition, match=r"file.* cannot be written: (File exists|Not a directory)\.$"):
        certificates(tmp_path / "file" / below)
