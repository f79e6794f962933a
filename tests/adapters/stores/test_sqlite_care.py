"""Checking and copying a database that may be in use."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite.care import backup, check
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.new_file import new_file
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.domain.errors import AlreadyExists, FailedPrecondition, StoreFailed
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    RUNNING,
    change,
    claim,
    ids,
    make_task,
    output,
    save,
    tell,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "taskrun.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """One that holds a bit of everything."""
    store = SqliteStore(Database(path))
    await tell(store, make_task(1), change(0))
    await tell(store, make_task(2, RUNNING), change(0), output(1, "a", "b"))
    await tell(store, make_task(2, RUNNING), output(3, "c"))
    done = replace(make_task(3, COMPLETED, idempotency_key="k"), finished_at_ms=9)
    await tell(store, done, change(0), change(1, COMPLETED))
    await save(store, make_task(4))
    yield store
    await store.close()


async def test_a_database_in_use_is_sound(store: SqliteStore, path: Path) -> None:
    await claim(store, GENERAL, limit=1)
    assert check(path) == []


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("UPDATE counts SET tasks = 7 WHERE status = 'RUNNING'", "The number of RUNNING tasks is not what was kept."),
        ("UPDATE requirements SET waiting = 7", "The number of tasks that wait for general [] is not what was kept."),
        ("UPDATE queue SET task_id = 'x' WHERE task_id LIKE '%1'", "Task x is in the queue, but not PENDING."),
        ("DELETE FROM births WHERE task_id LIKE '%1'", f"Task {ids(1)[0]} has no record of its creation."),
        (
            "INSERT INTO births VALUES ('x', '{}')",
            "There is a record of the creation of task x, but no task.",
        ),
        ("INSERT INTO story VALUES ('x', 0, 1, '[]')", "There is a story of task x, but no task."),
        ("UPDATE story SET seq = 4 WHERE seq = 3", f"The story of task {ids(2)[0]} has a gap."),
        (
            "UPDATE tasks SET state = '{\"status\":\"FAILED\"}' WHERE id LIKE '%1'",
            f"Task {ids(1)[0]} has two statuses.",
        ),
        ("DELETE FROM story WHERE task_id LIKE '%3'", f"Task {ids(3)[0]} has ended, and its story has not."),
        ("DELETE FROM migrations WHERE number = 2", "Step 0002_tokens of the schema is missing:"),
        ("UPDATE migrations SET checksum = ''", "The database's step 0001_tasks was made from another file"),
    ],
)
async def test_what_is_wrong_is_said(store: SqliteStore, path: Path, harm: str, finding: str) -> None:
    other = sqlite3.connect(path)
    with other:
        other.execute(harm)
    other.close()
    findings = check(path)
    assert len(findings) == 1
    assert findings[0].startswith(finding)


async def test_a_damaged_file_is_told(store: SqliteStore, path: Path) -> None:
    await store.close()
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 8192)
    assert check(path)[0].startswith("The file is damaged")


@pytest.mark.parametrize("left", [20_000, 4096])
async def test_a_file_that_is_too_damaged_to_be_opened_is_told(store: SqliteStore, path: Path, left: int) -> None:
    await store.close()
    with path.open("r+b") as file:
        file.truncate(left)
    assert check(path) == ["The file is damaged."]


@pytest.mark.parametrize("look", [check, lambda path: backup(path, path.with_name("new"))], ids=["check", "backup"])
def test_no_database_and_no_file_at_all_are_told(tmp_path: Path, look: object) -> None:
    assert callable(look)
    with pytest.raises(FailedPrecondition, match="There is no database"):
        look(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text").write_text("text " * 1000)
    with pytest.raises(FailedPrecondition, match="is no SQLite database"):
        look(tmp_path / "text")


async def test_a_backup_is_a_store_of_its_own(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    await asyncio.to_thread(backup, path, target)
    await save(store, make_task(5))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert check(target) == []
    copy = SqliteStore(Database(target))
    assert (await copy.recover()).counts[RUNNING] == 1
    assert list(await copy.story(ids(2)[0], 0)) == list(await store.story(ids(2)[0], 0))
    assert await copy.get(ids(5)[0]) is None
    await copy.close()


async def test_a_backup_while_tasks_are_stored_is_consistent(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def keep_on() -> None:
        for n in range(10, 100_000):
            await tell(store, make_task(n), change(0))
            if stop.is_set():
                return

    writing = asyncio.create_task(keep_on())
    for n in range(5):
        await asyncio.to_thread(backup, path, tmp_path / f"{n}.db")
        assert await asyncio.to_thread(check, tmp_path / f"{n}.db") == []
    stop.set()
    await writing


async def test_a_backup_never_takes_the_place_of_a_file(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(AlreadyExists, match="there exists already"):
        backup(path, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "precious"
    with pytest.raises(FailedPrecondition, match="cannot be made: No such file"):
        backup(path, tmp_path / "nowhere" / "copy.db")
    (tmp_path / "copy.db-journal").write_text("of another copy.db")
    with pytest.raises(AlreadyExists, match="db-journal exists already"):
        backup(path, tmp_path / "copy.db")


def _copies(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith("copy.db")]


async def test_a_backup_that_fails_leaves_nothing_behind(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    other = sqlite3.connect(path)
    with other:
        other.execute("PRAGMA writable_schema=ON")
        other.execute("UPDATE sqlite_schema SET rootpage = 9999 WHERE name = 'story'")
    other.close()
    with pytest.raises(StoreFailed, match="is damaged"):
        backup(path, tmp_path / "copy.db")
    assert _copies(tmp_path) == []


def _unlinkable(*names: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("link", [os.link, _unlinkable], ids=["hard links", "none"])
async def test_a_copy_has_its_name_when_it_is_whole_and_only_if_nobody_has_taken_it(
    store: SqliteStore, path: Path, tmp_path: Path, link: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.link", link)
    (folder := tmp_path / "folder").mkdir()
    with new_file(folder / "new") as made:
        made.write_text("whole")
        assert os.listdir(folder) == [made.name]
        assert made.suffix == ".unfinished"
    assert os.listdir(folder) == ["new"]
    with pytest.raises(AlreadyExists, match="new2 exists already"), new_file(folder / "new2"):
        (folder / "new2").write_text("precious")
    assert sorted(os.listdir(folder)) == ["new", "new2"]
    assert [(folder / name).read_text() for name in ("new", "new2")] == ["whole", "precious"]
    await asyncio.to_thread(backup, path, folder / "copy.db")
    assert check(folder / "copy.db") == []
    assert stat.S_IMODE((folder / "copy.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("synced", [0, 1], ids=["file", "directory"])
async def test_of_a_copy_that_is_not_on_the_disk_nothing_is_left(
    store: SqliteStore, path: Path, tmp_path: Path, synced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [False] * synced + [True]

    def fsync(handle: int) -> None:
        if fails.pop(0):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(FailedPrecondition, match="cannot be made: Input/output error"):
        backup(path, tmp_path / "copy.db")
    assert _copies(tmp_path) == []


async def test_a_target_in_a_directory_that_is_gone_is_told(
    store: SqliteStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FailedPrecondition, match=r"^copy\.db cannot be made: No such file or directory\.$"):
        backup(path, Path("copy.db"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    (disk := tmp_path / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


async def test_a_backup_whose_disk_is_full_says_so_and_leaves_nothing_behind(
    store: SqliteStore, path: Path, small_disk: Path
) -> None:
    with pytest.raises(StoreFailed, match=r"copy\.db does not fit on its disk"):
        backup(path, small_disk / "copy.db")
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("table", ["", "CREATE TABLE bookmarks (name TEXT)"], ids=["empty", "foreign"])
def test_what_is_not_ours_is_not_copied(tmp_path: Path, table: str) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute(table)
    other.close()
    with pytest.raises(FailedPrecondition, match=r"is it the right one|belongs to another program"):
        backup(tmp_path / "other.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
