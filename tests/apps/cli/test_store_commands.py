from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from taskrun.adapters.stores.postgres import database as postgres
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.apps.exits import INTERRUPTED
from taskrun.testing.contracts.store_cases import COMPLETED, change, make_task, tell
from tests.apps.cli.conftest import Taskrun
from tests.apps.places import PATIENCE, environ
from tests.postgres import Databases

PATH = Path("data") / "taskrun.db"

#: A backup that goes on for ever, and says when its file is there.
ENDLESS = """
from contextlib import contextmanager
from taskrun.adapters.stores.sqlite import care
from taskrun.apps.cli import main

made = care.new_file

@contextmanager
def new_file(target):
    with made(target) as file:
        print(file.stat().st_size, flush=True)
        yield file

care.new_file = new_file
care._COPY = "WITH RECURSIVE endless AS (SELECT ?1 UNION ALL SELECT * FROM endless) SELECT count(*) FROM endless"
main()
"""


async def _fill() -> None:
    store = SqliteStore(Database(PATH))
    await tell(store, make_task(1), change(0))
    for n in (2, 3):
        await tell(store, replace(make_task(n, COMPLETED), finished_at_ms=n), change(0), change(1, COMPLETED))
    await store.close()


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three tasks, two of which ended long ago, where a control plane without settings has it."""
    monkeypatch.chdir(tmp_path)
    asyncio.run(_fill())


def test_a_sound_database_is_said_to_be(taskrun: Taskrun) -> None:
    ended = taskrun("store", "check")
    assert (ended.code, ended.out, ended.err) == (0, "", "data/taskrun.db is sound.\n")
    assert json.loads(taskrun("store", "check", "--json").out) == {"database": "data/taskrun.db", "findings": []}


def test_what_is_wrong_is_said_and_the_exit_code_is_1(taskrun: Taskrun) -> None:
    connection = sqlite3.connect(PATH)
    with connection:
        connection.execute("UPDATE counts SET tasks = 9 WHERE status = 'PENDING'")
    connection.close()
    ended = taskrun("store", "check")
    assert (ended.code, ended.out) == (1, "The number of PENDING tasks is not what was kept.\n")
    assert json.loads(taskrun("--json", "store", "check").out)["findings"] == [ended.out.strip()]


def test_a_backup_is_made_once(taskrun: Taskrun) -> None:
    assert taskrun("store", "backup", "copy.db").code == 0
    assert taskrun("store", "check", "--store=sqlite:copy.db").code == 0
    again = taskrun("store", "backup", "copy.db")
    assert (again.code, again.err) == (2, "taskrun: copy.db exists already: name a new file.\n")
    answer = json.loads(taskrun("store", "backup", "other.db", "--json").out)
    assert answer["bytes"] == Path("other.db").stat().st_size


@pytest.mark.parametrize(
    ("number", "code", "left"),
    [
        (signal.SIGINT, INTERRUPTED, []),
        (signal.SIGTERM, INTERRUPTED, []),
        (signal.SIGHUP, INTERRUPTED, []),
        (signal.SIGKILL, -signal.SIGKILL, [".unfinished"]),
    ],
)
def test_a_backup_that_is_ended_before_it_is_whole_is_none(
    taskrun: Taskrun, number: signal.Signals, code: int, left: list[str]
) -> None:
    Path("copies").mkdir()
    argv = [sys.executable, "-c", ENDLESS, "store", "backup", "copies/copy.db"]
    with subprocess.Popen(argv, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.strip()) == (code, "", "")
    assert [path.suffix for path in Path("copies").iterdir()] == left
    assert taskrun("store", "backup", "copies/copy.db").code == 0
    assert taskrun("store", "check", "--store=sqlite:copies/copy.db").code == 0


@pytest.mark.parametrize("words", [["--older-than=1h"], ["--max-size=1B"]], ids=["age", "size"])
def test_finished_tasks_are_removed_on_request(taskrun: Taskrun, words: list[str]) -> None:
    assert json.loads(taskrun("store", "prune", *words, "--json").out)["removed"] == 2
    assert taskrun("store", "prune", *words).err == "0 finished tasks are removed.\n"
    assert taskrun("store", "check").code == 0


def test_pruning_needs_the_database_for_itself(taskrun: Taskrun) -> None:
    database = Database(PATH)
    ended = taskrun("store", "prune", "--older-than=1h")
    assert ended.code == 2
    assert f"is in use by process {os.getpid()}" in ended.err
    assert taskrun("store", "check").code == 0
    asyncio.run(database.close())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("check --data-dir=none", "There is no database none/taskrun.db."),
        ("prune --data-dir=none --older-than=1d", "There is no database none/taskrun.db."),
        ("check --store=memory", "The memory store has nothing to look after."),
        ("check --store=oracle", "--store is 'oracle': it must be memory, sqlite, sqlite:PATH or a postgresql:// URL."),
        ("check --store=mysql://me:secret@host", "--store: the URL of a store begins with postgresql://."),
        (
            "backup f --store=postgresql://",
            "PostgreSQL has its own tool for this: pg_dump --format=custom --file=FILE URL.",
        ),
        *[
            (words, "Say what is to go: --older-than, --max-size, or both; a size of 0 is no limit.")
            for words in ("prune", "prune --max-size=0")
        ],
        ("prune --max-size=much", "--max-size must be a number of bytes such as 500MiB or 10GiB."),
    ],
)
def test_what_cannot_be_done_is_one_line(taskrun: Taskrun, words: str, message: str) -> None:
    ended = taskrun("store", *words.split())
    assert (ended.code, ended.out, ended.err) == (2, "", f"taskrun: {message}\n")


def test_the_place_is_taken_from_where_the_control_plane_takes_it(
    taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    PATH.rename("elsewhere.db")
    Path("plane.toml").write_text('store = "sqlite:elsewhere.db"')
    assert taskrun("store", "check", "--config=plane.toml").code == 0
    monkeypatch.setenv("TASKRUN_STORE", "sqlite:elsewhere.db")
    assert taskrun("store", "check").code == 0


async def _fill_postgres(url: str) -> None:
    store = PostgresStore(postgres.Database(url))
    for n in (2, 3):
        await tell(store, replace(make_task(n, COMPLETED), finished_at_ms=n), change(0), change(1, COMPLETED))
    await store.close()


def test_a_database_in_postgresql_is_checked_and_pruned_too(taskrun: Taskrun, postgres_url: str) -> None:
    asyncio.run(_fill_postgres(postgres_url))
    place = f"--store={postgres_url}"
    ended = taskrun("store", "check", place)
    assert (ended.code, ended.out, ended.err) == (0, "", "The PostgreSQL database is sound.\n")
    assert json.loads(taskrun("store", "prune", place, "--older-than=1h", "--json").out) == {
        "database": "The PostgreSQL database",
        "removed": 2,
    }
    assert taskrun("store", "check", place).code == 0


MISSING = "Step 0002_tokens of the schema is missing: a control plane's start adds it."
NEVER_USED = "The database holds no tasks and never did: is it the right one?"
NEWER = "The database was made by a newer TaskRun (it has step 9999_later): use that."
UNLIKE_OURS = [
    ("DELETE FROM migrations WHERE number = 2", MISSING),
    ("INSERT INTO migrations VALUES (9999, '9999_later', 'x')", NEWER),
]


@pytest.mark.parametrize(("change", "message"), UNLIKE_OURS, ids=["older", "newer"])
def test_pruning_refuses_a_schema_that_is_not_this_versions(taskrun: Taskrun, change: str, message: str) -> None:
    connection = sqlite3.connect(PATH)
    with connection:
        connection.execute(change)
    before = list(connection.iterdump())
    ended = taskrun("store", "prune", "--older-than=1h")
    assert (ended.code, ended.out, ended.err) == (1, "", f"data/taskrun.db: {message}\n")
    assert list(connection.iterdump()) == before
    connection.close()


def test_pruning_makes_nothing_in_an_empty_file(taskrun: Taskrun) -> None:
    Path("empty").mkdir()
    Path("empty/f.db").touch(0o640)
    ended = taskrun("store", "prune", "--store=sqlite:empty/f.db", "--older-than=1h")
    assert (ended.code, ended.out, ended.err) == (1, "", f"empty/f.db: {NEVER_USED}\n")
    assert os.listdir("empty") == ["f.db"]


@pytest.mark.parametrize(("change", "message"), [("", NEVER_USED), *UNLIKE_OURS], ids=["empty", "older", "newer"])
def test_pruning_changes_no_schema_in_postgresql(
    taskrun: Taskrun, databases: Databases, change: str, message: str
) -> None:
    url = databases.new()
    if change:
        postgres.prepare(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(change.encode())
        before = _steps(connection)
        ended = taskrun("store", "prune", f"--store={url}", "--older-than=1h")
        assert (ended.code, ended.out, ended.err) == (1, "", f"The PostgreSQL database: {message}\n")
        assert _steps(connection) == before


def _steps(connection: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What of its schema was made; nothing, if there are no tables."""
    tables = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return connection.execute("SELECT number FROM migrations ORDER BY number").fetchall() if tables else []


def test_without_the_extra_a_line_says_what_to_install(taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("taskrun.adapters.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ended = taskrun("store", "check", "--store=postgresql://")
    assert (ended.code, ended.err) == (
        2,
        "taskrun: A PostgreSQL store needs the extra: pip install 'taskrun[postgres]'.\n",
    )
