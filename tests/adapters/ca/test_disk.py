from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from taskrun.adapters.ca.disk import Replacement, create_all, read_private, read_public
from taskrun.domain.errors import FailedPrecondition


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_their_owner_s_alone_and_certificates_are_for_all(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        create_all(tmp_path / "made", {"a.key": b"k", "a.crt": b"c"})
    finally:
        os.umask(old)
    assert [mode(tmp_path / "made" / name) for name in ("a.key", "a.crt", ".")] == [0o600, 0o644, 0o700]


def test_an_existing_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "b.crt").write_bytes(b"mine")
    with pytest.raises(FailedPrecondition, match=r"b\.crt exists already"):
        create_all(tmp_path, {"a.key": b"k", "b.crt": b"c"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b.crt": b"mine"}


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FailedPrecondition):
        create_all(tmp_path, {"a.key": b"k"})
    assert not (tmp_path / "elsewhere").exists()


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="cannot be written"):
        create_all(tmp_path, {"a.key": b"k", "no/such/b.crt": b"c"})
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        create_all(tmp_path, {"a.key": b"k", "b.crt": cast(bytes, "no bytes")})
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FailedPrecondition, match="cannot be written: Not a directory"):
        create_all(tmp_path / "file" / "certs", {"a.key": b"k"})


def test_a_file_in_the_directory_s_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "certs").touch()
    with pytest.raises(FailedPrecondition, match="certs exists already"):
        create_all(tmp_path / "certs", {"a.key": b"k"})


def test_of_many_at_once_one_writes_all(tmp_path: Path) -> None:
    def attempt(number: int) -> bool:
        try:
            create_all(tmp_path, {f"{name}.key": b"%d" % number for name in "abcd"})
        except FailedPrecondition:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number, won in enumerate(pool.map(attempt, range(40))) if won]
    assert len(winners) == 1
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"%d" % winners[0]}


def test_a_private_key_of_mode_600_is_read(tmp_path: Path) -> None:
    create_all(tmp_path, {"a.key": b"k"})
    assert read_private(tmp_path / "a.key") == b"k"


@pytest.mark.parametrize("others", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_refused_with_the_remedy(tmp_path: Path, others: int) -> None:
    key = tmp_path / "my own.key"
    key.touch()
    key.chmod(others)
    with pytest.raises(FailedPrecondition, match=f"chmod 600 '{key}'"):
        read_private(key)


def test_a_certificate_may_be_read_by_all(tmp_path: Path) -> None:
    create_all(tmp_path, {"a.crt": b"c"})
    assert read_public(tmp_path / "a.crt") == b"c"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"none\.key is missing"):
        read_private(tmp_path / "none.key")


def test_a_directory_in_a_file_s_place_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="cannot be read"):
        read_public(tmp_path)


def test_a_replacement_takes_the_old_files_places(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_bytes(b"old")
    with Replacement(tmp_path) as files:
        files.add("a.key", b"new")
        files.add("a.crt", b"new")
        files.commit()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.key": b"new", "a.crt": b"new"}
    assert mode(tmp_path / "a.key") == 0o600


def test_a_replacement_that_is_not_committed_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_bytes(b"old")
    with Replacement(tmp_path) as files:
        files.add("a.key", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.key": b"old"}


def test_a_replacement_says_early_that_it_has_no_place(tmp_path: Path) -> None:
    (tmp_path / "a.crt").mkdir()
    with Replacement(tmp_path) as files, pytest.raises(FailedPrecondition, match="a directory"):
        files.add("a.crt", b"c")


def test_a_replacement_that_cannot_take_its_place_leaves_no_trace(tmp_path: Path) -> None:
    with Replacement(tmp_path) as files:
        files.add("a.crt", b"c")
        (tmp_path / "a.crt").mkdir()
        with pytest.raises(FailedPrecondition, match="cannot be written"):
            files.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["a.crt"]


def test_a_replacement_in_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FailedPrecondition, match="cannot be written"), Replacement(tmp_path / "file" / "certs"):
        raise AssertionError("entered")
