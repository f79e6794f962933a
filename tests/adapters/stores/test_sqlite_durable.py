"""What outlives a restart, a kill, a failure and a caller that goes away."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite.care import check
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.adapters.stores.sqlite.tokens import SqliteTokenStore
from taskrun.domain.errors import StoreFailed
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    RUNNING,
    change,
    claim,
    make_task,
    save,
    task_id,
    tell,
)
from taskrun.testing.contracts.token_store import CERTIFICATE, EXCHANGE, A, B
from tests.adapters.stores.durability import DurabilityContract, Place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "taskrun.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(Database(path))
    yield store
    await store.close()


class SqlitePlace(Place):
    OPEN = """
import sys
from pathlib import Path
from taskrun.adapters.stores.sqlite.care import check
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
store = SqliteStore(Database(Path(sys.argv[1])))
"""

    def open(self) -> SqliteStore:
        return SqliteStore(Database(Path(self.address)))

    @contextmanager
    def sabotaged(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.address)) as saboteur:
            saboteur.execute("CREATE TRIGGER no BEFORE INSERT ON story BEGIN SELECT raise(ABORT, 'no'); END")
            yield
            saboteur.execute("DROP TRIGGER no")

    def findings(self) -> Sequence[str]:
        return check(Path(self.address))


class TestDurability(DurabilityContract):
    @pytest.fixture
    def place(self, path: Path) -> Place:
        return SqlitePlace(str(path))


def _held_at(database: Database, statement: str) -> tuple[threading.Event, threading.Event]:
    """The writer will set the first event when it comes to the statement, and then wait for the second."""
    begun, go = threading.Event(), threading.Event()

    def trace(sql: str) -> None:
        if sql == statement:
            begun.set()
            go.wait(20)

    database.writer.set_trace_callback(trace)
    return begun, go


async def test_a_restart_keeps_tokens_and_what_they_were_spent_on(path: Path) -> None:
    database = Database(path)
    tokens = SqliteTokenStore(database)
    await tokens.put(A)
    await tokens.put(B)
    await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, 0)
    await database.close()
    database = Database(path)
    tokens = SqliteTokenStore(database)
    assert await tokens.find(A.digest, 0) is None
    assert await tokens.find(B.digest, 0) == B
    assert await tokens.spent_on(A.digest, 0) == EXCHANGE
    await database.close()


async def test_who_is_cancelled_while_it_commits_has_committed_the_whole(path: Path) -> None:
    database = Database(path)
    store = SqliteStore(database)
    begun, go = _held_at(database, "BEGIN IMMEDIATE")
    commit = asyncio.create_task(tell(store, make_task(1), change(0)))
    await asyncio.to_thread(begun.wait)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    go.set()
    await save(store, make_task(2))
    assert await store.get(task_id(1)) == make_task(1)
    assert list(await store.story(task_id(1), 0)) == [change(0)]
    await store.close()


async def test_reads_go_on_while_a_commit_takes_its_time(path: Path) -> None:
    database = Database(path)
    store = SqliteStore(database)
    await save(store, make_task(1))
    begun, go = _held_at(database, "COMMIT")
    commit = asyncio.create_task(save(store, make_task(1, RUNNING)))
    await asyncio.to_thread(begun.wait)
    assert await store.get(task_id(1)) == make_task(1)
    go.set()
    await commit
    assert await store.get(task_id(1)) == make_task(1, RUNNING)
    await store.close()


async def test_a_disk_that_fills_up_fails_the_commit_and_recovers(path: Path) -> None:
    database = Database(path)
    store = SqliteStore(database)
    await save(store, make_task(1))
    pages = database.writer.execute("PRAGMA page_count").fetchone()[0]
    database.writer.execute(f"PRAGMA max_page_count={pages + 10}")
    with pytest.raises(StoreFailed, match="is full"):
        await save(store, *(make_task(n) for n in range(2, 2000)))
    assert await store.get(task_id(2)) is None
    database.writer.execute("PRAGMA max_page_count=1000000")
    await save(store, *(make_task(n) for n in range(2, 2000)))
    assert (await store.recover()).counts[TaskStatus.PENDING] == 1999
    await store.close()


async def test_a_recovery_that_fails_leaves_no_trace(store: SqliteStore, path: Path) -> None:
    await save(store, make_task(1))
    await claim(store)
    saboteur = sqlite3.connect(path)
    saboteur.execute("CREATE TRIGGER no BEFORE INSERT ON queue BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(StoreFailed, match="refused its work"):
        await store.recover()
    saboteur.execute("DROP TRIGGER no")
    saboteur.close()
    assert (await store.recover()).backlog == {GENERAL: Backlog(1, 1001)}


async def test_a_story_with_a_gap_is_refused(store: SqliteStore) -> None:
    await tell(store, make_task(1), change(0))
    with pytest.raises(StoreFailed, match="goes on with 1, not 2"):
        await tell(store, make_task(1), change(2))
