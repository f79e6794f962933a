"""What outlives a restart of either side, a cut connection, a failure and a caller that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest

from taskrun.adapters.stores.postgres.care import check
from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import TaskQuery
from taskrun.ports.store import Backlog, Batch, ClaimNext
from taskrun.testing.contracts.store_cases import (
    GENERAL,
    RUNNING,
    change,
    claim,
    ids,
    make_task,
    save,
    task_id,
    tell,
)
from taskrun.testing.postgres_server import PostgresServer
from tests.adapters.stores.durability import DurabilityContract, Place
from tests.postgres import Proxy


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(Database(postgres_url))
    yield store
    await store.close()


class PostgresPlace(Place):
    OPEN = """
import sys
from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
store = PostgresStore(Database(sys.argv[1]))
"""

    def open(self) -> PostgresStore:
        return PostgresStore(Database(self.address))

    @contextmanager
    def sabotaged(self) -> Iterator[None]:
        with psycopg.connect(self.address, autocommit=True) as saboteur:
            saboteur.execute("ALTER TABLE story ADD CONSTRAINT no CHECK (false) NOT VALID")
            yield
            saboteur.execute("ALTER TABLE story DROP CONSTRAINT no")

    def findings(self) -> Sequence[str]:
        return check(self.address)


class TestDurability(DurabilityContract):
    @pytest.fixture
    def place(self, postgres_url: str) -> Place:
        return PostgresPlace(postgres_url)


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


async def test_what_cannot_be_stored_cannot_be_found(store: PostgresStore) -> None:
    assert await store.get("a\0b") is None
    assert list(await store.story("a\0b", 0)) == []
    assert (await store.find(TaskQuery(agent="a\0b"))).tasks == ()


async def test_who_is_cancelled_while_it_commits_has_committed_the_whole(
    store: PostgresStore, postgres_url: str
) -> None:
    await tell(store, make_task(1), change(0))
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT FROM tasks FOR UPDATE")
        commit = asyncio.create_task(tell(store, make_task(1, RUNNING), change(1)))
        await _until_somebody_waits_for_a_lock(postgres_url)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        holder.rollback()
    await save(store, make_task(2))
    assert await store.get(task_id(1)) == make_task(1, RUNNING)
    assert list(await store.story(task_id(1), 0)) == [change(0), change(1)]


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


async def _until_somebody_waits_for_a_lock(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            [[waiting]] = await cursor.fetchall()
            if waiting:
                return
