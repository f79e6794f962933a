"""The file: its settings, its modes, its lock and its schema."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite import migrating
from taskrun.adapters.stores.sqlite.care import check
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.migrating import known_migrations
from taskrun.domain.errors import FailedPrecondition, StoreFailed
from taskrun.domain.records import FOR_EVER

HOLD = """
import sys
from pathlib import Path
from taskrun.adapters.stores.sqlite.database import Database
database = Database(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "taskrun.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = Database(path)
    yield database
    await database.close()


def _settings(connection: sqlite3.Connection, *names: str) -> dict[str, object]:
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


def _opened_and_closed(path: Path) -> None:
    asyncio.run(Database(path).close())


async def test_the_settings_that_its_promises_rest_on_are_in_force_on_every_connection(database: Database) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": 5000,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "journal_size_limit": 67_108_864,
    }
    assert await database.write(_settings, database.writer, *expected) == expected
    assert await database.read(_settings, *expected) == expected


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreFailed, match="cannot be written"):
        await database.read(lambda connection: connection.execute("DELETE FROM tasks"))


async def test_the_files_are_for_their_owner_alone(database: Database, path: Path) -> None:
    await database.write(database.writer.execute, "INSERT INTO counts VALUES ('PENDING', 0)")
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {f"taskrun.db{end}": 0o600 for end in ("", "-wal", "-shm", ".lock")}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    _opened_and_closed(path)
    path.chmod(0o644)
    _opened_and_closed(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FailedPrecondition, match=r"taskrun\.db cannot be opened"):
        Database(tmp_path / "file" / "taskrun.db")


def test_a_directory_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="cannot be opened: Is a directory"):
        Database(tmp_path)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, whatever its length " * 100)
    with pytest.raises(FailedPrecondition, match="is no SQLite database"):
        Database(path)
    assert path.read_text().startswith("not a database")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(FailedPrecondition, match="belongs to another program"):
        Database(path)


# The lock.


async def test_a_second_one_is_refused_and_told_who_has_it(database: Database, path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=f"is in use by process {os.getpid()}:"):
        Database(path)


async def test_a_closed_one_can_be_opened_again(database: Database, path: Path) -> None:
    await database.close()
    await Database(path).close()


async def test_a_link_to_it_is_no_second_database(path: Path) -> None:
    first = Database(path)
    (link := path.with_name("link.db")).symlink_to(path.name)
    with pytest.raises(FailedPrecondition, match=f"is in use by process {os.getpid()}:"):
        Database(link)
    await first.close()


@pytest.mark.parametrize("name", [":memory:", "file:a.db?mode=memory"])
async def test_a_name_that_sqlite_has_for_something_else_is_a_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    await Database(Path(name)).close()
    assert (tmp_path / name).stat().st_size
    assert check(Path(name)) == []


def test_one_that_could_not_be_opened_holds_no_lock(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("no database " * 1000)
    for _ in range(2):
        with pytest.raises(FailedPrecondition, match="is no SQLite database"):
            Database(path)


def test_another_process_is_refused_until_the_first_is_killed(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(FailedPrecondition, match=f"process {holder.pid}:"):
            Database(path)
        holder.send_signal(signal.SIGKILL)
    _opened_and_closed(path)


# The schema.


def test_a_new_database_gets_every_step_once(path: Path) -> None:
    _opened_and_closed(path)
    _opened_and_closed(path)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT number, name, checksum FROM migrations ORDER BY number").fetchall()
    connection.close()
    assert rows == [(step.number, step.name, step.checksum) for step in known_migrations()]
    assert [step.number for step in known_migrations()] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE migrations SET checksum = 'other' WHERE number = 1", "step 0001_tasks was made from another file"),
        ("INSERT INTO migrations VALUES (9999, '9999_later', 'x')", "made by a newer TaskRun .*9999_later"),
    ],
    ids=["changed", "newer"],
)
def test_a_schema_that_is_not_ours_is_refused(path: Path, change: str, message: str) -> None:
    _opened_and_closed(path)
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(FailedPrecondition, match=message):
        Database(path)


def test_an_older_database_gets_what_it_lacks(path: Path) -> None:
    with pytest.MonkeyPatch.context() as older:
        older.setattr(migrating, "known_migrations", lambda: known_migrations()[:1])
        _opened_and_closed(path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO requirements (number, agent, selector, waiting) VALUES (1, 'echo', '[]', 1)")
        connection.execute("INSERT INTO queue (requirement, rank, task_id, since) VALUES (1, -3, 'old', 1)")
        connection.execute("INSERT INTO births VALUES ('old', ?)", (b'{"created_at_ms": 7500}',))
    connection.close()
    _opened_and_closed(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (0,)
        assert connection.execute("SELECT task_id, expires_at FROM queue").fetchall() == [("old", None)]
        assert connection.execute("SELECT rank FROM queue").fetchone() == (7 - 3 * FOR_EVER,)
        lines = connection.execute("SELECT number, agent, selector, share, waiting FROM requirements").fetchall()
        assert lines == [(1, "echo", "[]", "[]", 1)]
    connection.close()
