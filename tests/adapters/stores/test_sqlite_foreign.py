"""A file that is not ours, named by mistake: it stays as it is, byte for byte, with nothing beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite.care import backup, check, check_schema
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.domain.errors import FailedPrecondition

ANOTHERS = "belongs to another program"


def _text(path: Path) -> str:
    path.write_text("text")
    return "is no SQLite database"


def _database(path: Path) -> str:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (name TEXT)")
    other.close()
    return ANOTHERS


def _with_a_table_of_this_name(path: Path) -> str:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE migrations (id INTEGER, migration TEXT)")
    other.close()
    return ANOTHERS


def _with_a_log(path: Path) -> str:
    other = sqlite3.connect(path)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("CREATE TABLE bookmarks (name TEXT)")
    other.close()
    return ANOTHERS


def _killed(path: Path) -> str:
    """All of its tables are in the log."""
    before = path.with_name("before.db")
    other = sqlite3.connect(before)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("CREATE TABLE bookmarks (name TEXT)")
    for end in ("", "-wal", "-shm"):
        shutil.copy(f"{before}{end}", f"{path}{end}")
    other.close()
    before.unlink()
    return ANOTHERS


KINDS = [_text, _database, _with_a_table_of_this_name, _with_a_log, _killed]


def _copy(path: Path) -> None:
    backup(path, path.with_name("copy.db"))


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("use", [check, check_schema, _copy, Database])
def test_what_is_not_ours_is_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], str], use: Callable[[Path], object]
) -> None:
    (path := tmp_path / "f.db").touch()
    path.chmod(0o640)
    message = make(path)
    before = _all_of(tmp_path)
    with pytest.raises(FailedPrecondition, match=message):
        use(path)
    assert _all_of(tmp_path) == before


def test_what_is_no_file_is_left_as_it_is(tmp_path: Path) -> None:
    """As /dev/null would be."""
    os.mkfifo(path := tmp_path / "f.db")
    path.chmod(0o640)
    with pytest.raises(FailedPrecondition, match="is no file"):
        Database(path)
    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in tmp_path.iterdir()] == [("f.db", 0o640)]


@pytest.mark.parametrize("look", [check, check_schema])
def test_an_empty_file_becomes_no_database_by_being_looked_at(
    tmp_path: Path, look: Callable[[Path], list[str]]
) -> None:
    (path := tmp_path / "f.db").touch()
    path.chmod(0o640)
    before = _all_of(tmp_path)
    assert look(path) == ["The database holds no tasks and never did: is it the right one?"]
    assert _all_of(tmp_path) == before


def _all_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (stat.S_IMODE(file.stat().st_mode), file.read_bytes()) for file in folder.iterdir()}
