"""What outlives a restart, a kill, a failure and a caller that goes away."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.adapters.stores.sqlite.tokens import SqliteTokenStore
from taskrun.domain.errors import StoreFailed
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Backlog, Batch, ClaimNext
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    ON_GPU,
    RUNNING,
    change,
    claim,
    find_key,
    ids,
    make_task,
    output,
    save,
    task_id,
    tell,
)
from taskrun.testing.contracts.token_store import EXCHANGE, A, B
from tests.adapters.stores.full_task import STORY, full_task

BATCH = 50
COMMIT_FOR_EVER = f"""
import asyncio, sys
from pathlib import Path
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.ports.store import Batch
from taskrun.testing.contracts.store_cases import change, make_task

async def main():
    store = SqliteStore(Database(Path(sys.argv[1])))
    for number in range(1_000_000):
        tasks = [make_task(number * {BATCH} + n) for n in range({BATCH})]
        await store.commit(Batch({{task.id: task for task in tasks}}, {{task.id: [change(0)] for task in tasks}}))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "taskrun.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(Database(path))
    yield store
    await store.close()


async def _again(store: SqliteStore, path: Path) -> SqliteStore:
    await store.close()
    return SqliteStore(Database(path))


def _held_at(database: Database, statement: str) -> tuple[threading.Event, threading.Event]:
    """The writer will set the first event when it comes to the statement, and then wait for the second."""
    begun, go = threading.Event(), threading.Event()

    def trace(sql: str) -> None:
        if sql == statement:
            begun.set()
            go.wait(20)

    database.writer.set_trace_callback(trace)
    return begun, go


async def test_a_restart_keeps_every_field_of_tasks_and_stories(store: SqliteStore, path: Path) -> None:
    await tell(store, full_task(), *STORY)
    store = await _again(store, path)
    assert await store.get(task_id(1)) == full_task()
    assert list(await store.story(task_id(1), 0)) == STORY
    assert (await store.recover()).active == (full_task(),)
    await store.close()


async def test_a_restart_keeps_keys_and_gives_claimed_tasks_back(store: SqliteStore, path: Path) -> None:
    await save(store, make_task(1, idempotency_key="k"), make_task(2, priority=5), make_task(3, RUNNING))
    assert await claim(store, limit=1) == ids(2)
    store = await _again(store, path)
    recovery = await store.recover()
    assert recovery.backlog == {GENERAL: Backlog(2, 1001)}
    assert recovery.counts[TaskStatus.PENDING] == 2
    assert await claim(store) == ids(2, 1)
    assert await find_key(store, "ann", "k") == make_task(1, idempotency_key="k")
    await store.close()


async def test_a_restart_keeps_tokens_and_what_they_were_spent_on(path: Path) -> None:
    database = Database(path)
    tokens = SqliteTokenStore(database)
    await tokens.put(A)
    await tokens.put(B)
    await tokens.spend(A.digest, EXCHANGE, 0)
    await database.close()
    database = Database(path)
    tokens = SqliteTokenStore(database)
    assert await tokens.find(A.digest, 0) is None
    assert await tokens.find(B.digest, 0) == B
    assert await tokens.spent_on(A.digest, 0) == EXCHANGE
    await database.close()


@pytest.mark.parametrize("seen", [1, 7, 20])
def test_a_process_that_is_killed_leaves_whole_batches_and_all_that_it_acknowledged(path: Path, seen: int) -> None:
    writer = subprocess.Popen([sys.executable, "-c", COMMIT_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
    with writer:
        assert writer.stdout
        for _ in range(seen):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = seen + len(writer.stdout.readlines())
    asyncio.run(_check_whole(path, acknowledged))


async def _check_whole(path: Path, acknowledged: int) -> None:
    store = SqliteStore(Database(path))
    recovery = await store.recover()
    stored = recovery.counts[TaskStatus.PENDING]
    assert stored % BATCH == 0
    assert stored // BATCH >= acknowledged - 1  # the last line may be half a line
    assert recovery.backlog == {GENERAL: Backlog(stored, 1000)}
    assert list(await store.story(task_id(stored - 1), 0)) == [change(0)]
    assert await store.get(task_id(stored)) is None
    await store.close()


async def test_a_commit_that_fails_on_its_way_leaves_no_trace(store: SqliteStore, path: Path) -> None:
    await save(store, make_task(1), make_task(2))
    saboteur = sqlite3.connect(path)
    saboteur.execute("CREATE TRIGGER no BEFORE INSERT ON story BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(StoreFailed, match="refused its work"):
        await store.commit(
            Batch(
                {task_id(1): make_task(1, RUNNING), task_id(3): make_task(3, needs=ON_GPU, idempotency_key="k")},
                {task_id(3): [change(0)]},
                [ClaimNext(None, (GENERAL,), 1)],
            )
        )
    saboteur.execute("DROP TRIGGER no")
    saboteur.close()
    assert await store.backlog() == {GENERAL: Backlog(2, 1001)}
    assert await find_key(store, "ann", "k") is None
    await save(store, make_task(3, needs=ON_GPU))
    assert await claim(store, GENERAL, ON_GPU) == ids(1, 2, 3)
    assert (await store.recover()).counts[TaskStatus.PENDING] == 3


async def test_a_value_that_is_no_text_is_refused_and_leaves_no_trace(store: SqliteStore) -> None:
    with pytest.raises(StoreFailed, match="does not fit"):
        await tell(store, make_task(1), output(0, "\ud800"))
    assert await store.get(task_id(1)) is None
    await save(store, make_task(1))


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


async def test_a_story_of_many_megabytes_is_read_in_parts(store: SqliteStore) -> None:
    chunk = "x" * 60_000
    await save(store, make_task(1))
    for seq in range(0, 200, 10):
        await store.commit(Batch(story={task_id(1): [output(n, chunk, first_seq=n) for n in range(seq, seq + 10)]}))
    seq, parts = 0, 0
    while part := await store.story(task_id(1), seq):
        assert part[0].seq == seq
        seq, parts = part[-1].next_seq, parts + 1
    assert (seq, parts > 1) == (200, True)


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


async def test_a_task_under_the_id_of_another_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StoreFailed, match="under the id of another"):
        await store.commit(Batch({task_id(2): make_task(1)}))


async def test_a_story_with_a_gap_is_refused(store: SqliteStore) -> None:
    await tell(store, make_task(1), change(0))
    with pytest.raises(StoreFailed, match="goes on with 1, not 2"):
        await tell(store, make_task(1), change(2))
