"""A database that is looked at where it cannot be written."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite.care import backup, check
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.migrating import applied
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.domain.errors import FailedPrecondition, StoreFailed
from taskrun.testing.contracts.store_cases import change, ids, make_task, tell


@dataclass
class Disk:
    """A directory that can be written by one of its names, and not by the other."""

    written: Path
    seen: Path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "written", tmp_path / "seen")
    for folder in (disk.written, disk.seen):
        folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "--bind", disk.written, disk.seen], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    subprocess.run(["mount", "-o", "remount,bind,ro", disk.seen], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk.seen], check=True)


@pytest.fixture
async def store(disk: Disk) -> AsyncIterator[SqliteStore]:
    """One that holds a task."""
    store = SqliteStore(Database(disk.written / "taskrun.db"))
    await tell(store, make_task(1), change(0))
    yield store
    await store.close()


async def _tasks_of_a_copy(path: Path, target: Path) -> list[bool]:
    """Which of the first two tasks are in a backup."""
    await asyncio.to_thread(backup, path, target)
    copy = SqliteStore(Database(target))
    found = [await copy.get(name) is not None for name in ids(1, 2)]
    await copy.close()
    return found


async def test_what_nobody_has_open_is_read_without_a_write(store: SqliteStore, disk: Disk, tmp_path: Path) -> None:
    await store.close()
    assert check(disk.seen / "taskrun.db") == []
    assert await _tasks_of_a_copy(disk.seen / "taskrun.db", tmp_path / "copy.db") == [True, False]
    assert sorted(os.listdir(disk.seen)) == ["taskrun.db", "taskrun.db.lock"]


async def test_beside_a_control_plane_that_can_write_it_everything_is_read(
    store: SqliteStore, disk: Disk, tmp_path: Path
) -> None:
    assert check(disk.seen / "taskrun.db") == []
    await tell(store, make_task(2), change(0))
    assert await _tasks_of_a_copy(disk.seen / "taskrun.db", tmp_path / "copy.db") == [True, True]


async def test_what_a_killed_one_left_is_read_with_its_log(store: SqliteStore, disk: Disk, tmp_path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        shutil.copy(disk.written / f"taskrun.db{end}", disk.written / f"killed.db{end}")
    assert check(disk.seen / "killed.db") == []
    assert await _tasks_of_a_copy(disk.seen / "killed.db", tmp_path / "copy.db") == [True, False]


async def test_a_link_to_it_has_its_log_where_the_file_is(store: SqliteStore, disk: Disk, tmp_path: Path) -> None:
    (disk.written / "link.db").symlink_to("taskrun.db")
    await tell(store, make_task(2), change(0))
    assert check(disk.seen / "link.db") == []
    assert await _tasks_of_a_copy(disk.seen / "link.db", tmp_path / "copy.db") == [True, True]


async def test_a_log_without_its_index_is_not_passed_over(store: SqliteStore, disk: Disk, tmp_path: Path) -> None:
    for end in ("", "-wal"):
        shutil.copy(disk.written / f"taskrun.db{end}", disk.written / f"part.db{end}")
    with pytest.raises(FailedPrecondition, match=r"its newest part is in part\.db-wal"):
        check(disk.seen / "part.db")
    with pytest.raises(FailedPrecondition, match=r"its newest part is in part\.db-wal"):
        backup(disk.seen / "part.db", tmp_path / "copy.db")


async def test_what_is_written_while_it_is_read_without_locks_does_not_count(
    store: SqliteStore, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.close()
    started: list[Database] = []

    def start_meanwhile(connection: sqlite3.Connection) -> object:
        started.append(Database(disk.written / "taskrun.db"))
        return applied(connection)

    monkeypatch.setattr("taskrun.adapters.stores.sqlite.care.applied", start_meanwhile)
    for look in (check, lambda path: backup(path, tmp_path / "copy.db")):
        with pytest.raises(StoreFailed, match="was written while it was read"):
            look(disk.seen / "taskrun.db")
        await started.pop().close()
    assert not [name for name in os.listdir(tmp_path) if name.startswith("copy.db")]


async def test_a_backup_cannot_be_made_there(store: SqliteStore, disk: Disk) -> None:
    with pytest.raises(FailedPrecondition, match="cannot be made: Read-only file system"):
        backup(disk.seen / "taskrun.db", disk.seen / "copy.db")
