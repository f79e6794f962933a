"""What outlives a restart of either side, a cut connection, a failure and a caller that goes away."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import psycopg
import pytest

from taskrun.adapters.stores.postgres.care import check
from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import TaskQuery
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
from taskrun.testing.postgres_server import PostgresServer
from tests.adapters.stores.full_task import STORY, full_task
from tests.postgres import Proxy

BATCH = 50
COMMIT_FOR_EVER = f"""
import asyncio, sys
from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.ports.store import Batch
from taskrun.testing.contracts.store_cases import change, make_task

async def main():
    store = PostgresStore(Database(sys.argv[1]))
    for number in range(1_000_000):
        tasks = [make_task(number * {BATCH} + n) for n in range({BATCH})]
        await store.commit(Batch({{task.id: task for task in tasks}}, {{task.id: [change(0)] for task in tasks}}))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(Database(postgres_url))
    yield store
    await store.close()


async def _again(store: PostgresStore, url: str) -> PostgresStore:
    await store.close()
    return PostgresStore(Database(url))


async def test_a_restart_keeps_every_field_of_tasks_and_stories(store: PostgresStore, postgres_url: str) -> None:
    await tell(store, full_task(), *STORY)
    store = await _again(store, postgres_url)
    assert await store.get(task_id(1)) == full_task()
    assert list(await store.story(task_id(1), 0)) == STORY
    assert (await store.recover()).active == (full_task(),)
    await store.close()


async def test_a_restart_keeps_keys_and_gives_claimed_tasks_back(store: PostgresStore, postgres_url: str) -> None:
    await save(store, make_task(1, idempotency_key="k"), make_task(2, priority=5), make_task(3, RUNNING))
    assert await claim(store, limit=1) == ids(2)
    store = await _again(store, postgres_url)
    recovery = await store.recover()
    assert recovery.backlog == {GENERAL: Backlog(2, 1001)}
    assert recovery.counts[TaskStatus.PENDING] == 2
    assert await claim(store) == ids(2, 1)
    assert await find_key(store, "ann", "k") == make_task(1, idempotency_key="k")
    await store.close()


async def test_a_server_that_restarts_fails_what_is_under_way_and_then_serves_again(
    store: PostgresStore, postgres_url: str, postgres_server: PostgresServer
) -> None:
    await save(store, make_task(1))
    assert await asyncio.gather(*(store.get(task_id(1)) for _ in range(8))) == [make_task(1)] * 8
    postgres_server.stop(at_once=True)
    with pytest.raises(StoreFailed):
        await save(store, make_task(2))
    with pytest.raises(StoreFailed):
        await store.get(task_id(1))
    postgres_server.start()
    await save(store, make_task(2))
    assert await store.get(task_id(1)) == make_task(1)
    assert await claim(store) == ids(1, 2)
    assert check(postgres_url) == []


async def test_connections_that_the_server_ended_meanwhile_are_replaced_unseen_by_readers(
    store: PostgresStore, postgres_url: str
) -> None:
    await save(store, make_task(1))
    await asyncio.gather(*(store.get(task_id(1)) for _ in range(20)))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert await store.get(task_id(1)) == make_task(1)
    assert await store.backlog() == {GENERAL: Backlog(1, 1001)}


@pytest.mark.parametrize(
    ("cut_at", "deaf_after", "whole"),
    [
        (b"FOR UPDATE", b"", False),
        (b"INSERT INTO tasks", b"", False),
        (b"INSERT INTO story", b"", False),
        (b"COMMIT", b"", False),
        (b"", b"COMMIT", True),
    ],
    ids=["before anything", "at the tasks", "at the stories", "before the commit", "after the commit"],
)
async def test_a_connection_that_is_cut_within_a_commit_leaves_the_whole_batch_or_nothing(
    postgres_url: str, proxy: Proxy, cut_at: bytes, deaf_after: bytes, whole: bool
) -> None:
    # It blocks, and the proxy is in this loop.
    store = PostgresStore(await asyncio.to_thread(Database, proxy.url(postgres_url)))
    tasks = {task_id(n): make_task(n) for n in (1, 2)}
    # The texts of statements go over with the first commit; after that they have names.
    proxy.cut_at, proxy.deaf_after = cut_at, deaf_after
    with pytest.raises(StoreFailed, match="cannot be reached"):
        await store.commit(Batch(tasks, {each: [change(0)] for each in tasks}, [ClaimNext(None, (GENERAL,), 1)]))
    assert proxy.cut_so_far == 1
    proxy.cut_at = proxy.deaf_after = b""
    recovery = await store.recover()
    assert recovery.backlog == ({GENERAL: Backlog(2, 1001)} if whole else {})
    assert [len(await store.story(each, 0)) for each in tasks] == ([1, 1] if whole else [0, 0])
    assert await asyncio.to_thread(check, postgres_url) == []
    await tell(store, make_task(3), change(0))
    await store.close()


@pytest.mark.parametrize("seen", [1, 20])
def test_a_process_that_is_killed_leaves_whole_batches_and_all_that_it_acknowledged(
    postgres_url: str, seen: int
) -> None:
    command = [sys.executable, "-c", COMMIT_FOR_EVER, postgres_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        for _ in range(seen):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = seen + len(writer.stdout.readlines())
    asyncio.run(_check_whole(postgres_url, acknowledged))


async def _check_whole(url: str, acknowledged: int) -> None:
    store = PostgresStore(Database(url))
    recovery = await store.recover()
    stored = recovery.counts[TaskStatus.PENDING]
    assert stored % BATCH == 0
    assert stored // BATCH >= acknowledged - 1  # the last line may be half a line
    assert recovery.backlog == {GENERAL: Backlog(stored, 1000)}
    assert list(await store.story(task_id(stored - 1), 0)) == [change(0)]
    assert await store.get(task_id(stored)) is None
    assert check(url) == []
    await store.close()


async def test_a_commit_that_fails_on_its_way_leaves_no_trace(store: PostgresStore, postgres_url: str) -> None:
    await save(store, make_task(1), make_task(2))
    with psycopg.connect(postgres_url, autocommit=True) as saboteur:
        saboteur.execute("ALTER TABLE story ADD CONSTRAINT no CHECK (false) NOT VALID")
        with pytest.raises(StoreFailed, match="refused its work"):
            await store.commit(
                Batch(
                    {task_id(1): make_task(1, RUNNING), task_id(3): make_task(3, needs=ON_GPU, idempotency_key="k")},
                    {task_id(3): [change(0)]},
                    [ClaimNext(None, (GENERAL,), 1)],
                )
            )
        saboteur.execute("ALTER TABLE story DROP CONSTRAINT no")
    assert await store.backlog() == {GENERAL: Backlog(2, 1001)}
    assert await find_key(store, "ann", "k") is None
    await save(store, make_task(3, needs=ON_GPU))
    assert await claim(store, GENERAL, ON_GPU) == ids(1, 2, 3)
    assert (await store.recover()).counts[TaskStatus.PENDING] == 3


async def test_a_value_that_is_no_text_is_refused_and_leaves_no_trace(store: PostgresStore) -> None:
    with pytest.raises(StoreFailed, match="does not fit"):
        await tell(store, make_task(1), output(0, "\ud800"))
    assert await store.get(task_id(1)) is None
    await save(store, make_task(1))


async def test_what_cannot_be_stored_cannot_be_found(store: PostgresStore) -> None:
    assert await store.get("a\0b") is None
    assert list(await store.story("a\0b", 0)) == []
    assert (await store.find(TaskQuery(agent="a\0b"))).tasks == ()


async def test_who_is_cancelled_while_it_commits_has_committed_the_whole(
    store: PostgresStore, postgres_url: str
) -> None:
    await save(store, make_task(1))
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT FROM tasks FOR UPDATE")
        commit = asyncio.create_task(tell(store, make_task(1, RUNNING), change(0)))
        await _until_somebody_waits_for_a_lock(postgres_url)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        holder.rollback()
    await save(store, make_task(2))
    assert await store.get(task_id(1)) == make_task(1, RUNNING)
    assert list(await store.story(task_id(1), 0)) == [change(0)]


async def test_reads_go_on_while_a_commit_takes_its_time_and_a_lock_is_not_waited_for_long(
    store: PostgresStore, postgres_url: str
) -> None:
    await save(store, make_task(1))
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT FROM tasks FOR UPDATE")
        commit = asyncio.create_task(save(store, make_task(1, RUNNING)))
        await _until_somebody_waits_for_a_lock(postgres_url)
        assert await store.get(task_id(1)) == make_task(1)
        with pytest.raises(StoreFailed, match="keeps rows"):
            await commit
        holder.rollback()
    await save(store, make_task(1, RUNNING))


async def test_a_story_of_many_megabytes_is_read_in_parts(store: PostgresStore) -> None:
    chunk = "x" * 60_000
    await save(store, make_task(1))
    for seq in range(0, 200, 10):
        await store.commit(Batch(story={task_id(1): [output(n, chunk, first_seq=n) for n in range(seq, seq + 10)]}))
    seq, parts = 0, 0
    while part := await store.story(task_id(1), seq):
        assert part[0].seq == seq
        seq, parts = part[-1].next_seq, parts + 1
    assert (seq, parts > 1) == (200, True)


async def test_a_task_under_the_id_of_another_is_refused(store: PostgresStore) -> None:
    with pytest.raises(StoreFailed, match="under the id of another"):
        await store.commit(Batch({task_id(2): make_task(1)}))


async def _until_somebody_waits_for_a_lock(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            [[waiting]] = await cursor.fetchall()
            if waiting:
                return
