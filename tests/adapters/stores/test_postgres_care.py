"""Checking a database that may be in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from taskrun.adapters.stores.postgres.care import check
from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.domain.errors import FailedPrecondition
from taskrun.ports.store import Retention
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    GENERAL,
    RUNNING,
    change,
    claim,
    ids,
    make_task,
    moved,
    output,
    save,
    tell,
)
from taskrun.testing.postgres_server import PostgresServer

DONE = replace(make_task(3, COMPLETED, idempotency_key="k"), finished_at_ms=9)


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """One that holds a bit of everything."""
    store = PostgresStore(Database(postgres_url))
    await store.recover()
    await tell(store, make_task(1), change(0))
    await tell(store, make_task(2, RUNNING), change(0), output(1, "a", "b"))
    await tell(store, make_task(2, RUNNING), output(3, "c"))
    await tell(store, DONE, change(0), change(1, COMPLETED))
    await save(store, make_task(4))
    yield store
    await store.close()


async def test_a_database_in_use_is_sound(store: PostgresStore, postgres_url: str) -> None:
    await claim(store, GENERAL, limit=1)
    assert check(postgres_url) == []


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("UPDATE counts SET amount = 7 WHERE name = 'RUNNING'", "The number of RUNNING tasks is not what was kept."),
        ("DELETE FROM counts WHERE name = 'COMPLETED'", "The number of COMPLETED tasks is not what was kept."),
        ("UPDATE counts SET amount = 7 WHERE name = 'bytes'", "The bytes that tasks take are not what was kept."),
        ("UPDATE waiting SET amount = 7", "The number of tasks that wait for general [] is not what was kept."),
        (
            "INSERT INTO crews VALUES ('x', 0); INSERT INTO running SELECT 'x', id FROM tasks WHERE status = 'RUNNING'",
            "More run of x than limits take for possible.",
        ),
        ("DELETE FROM accounts", "Limits do not count what waits for general []."),
        ("UPDATE tasks SET owner = NULL WHERE status = 'RUNNING'", f"Task {ids(2)[0]} runs, and no control plane"),
        ("UPDATE tasks SET owner = 999 WHERE status = 'RUNNING'", f"Task {ids(2)[0]} runs, and its owner is none"),
        ("UPDATE story SET seq = 4 WHERE seq = 3", f"The story of task {ids(2)[0]} has a gap."),
        ("UPDATE tasks SET story_seq = 9 WHERE id LIKE '%2'", f"The story of task {ids(2)[0]} does not go on where"),
        (
            "UPDATE tasks SET state = '{\"status\":\"FAILED\"}' WHERE id LIKE '%1'",
            f"Task {ids(1)[0]} has two statuses.",
        ),
        (
            "UPDATE story SET entries = replace(entries, 'COMPLETED', 'CANCELLED') WHERE task_id LIKE '%3'",
            f"Task {ids(3)[0]} has ended, and its story has not.",
        ),
        ("DELETE FROM migrations WHERE number = 2", "Step 0002_tokens of the schema is missing:"),
    ],
)
async def test_what_is_wrong_is_said(store: PostgresStore, postgres_url: str, harm: str, finding: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(harm.encode())
    findings = check(postgres_url)
    assert [each[: len(finding)] for each in findings] == [finding]


def test_a_database_that_is_not_there_is_told(postgres_server: PostgresServer) -> None:
    with pytest.raises(FailedPrecondition, match='database "nothing" does not exist'):
        check(postgres_server.url("nothing"))


async def test_two_that_prune_at_once_remove_each_task_once(store: PostgresStore, postgres_url: str) -> None:
    tasks = [replace(moved(make_task(n), COMPLETED), finished_at_ms=n) for n in range(100, 400)]
    for task in tasks:
        await tell(store, task, change(0, COMPLETED))
    other = PostgresStore(Database(postgres_url))
    removed = [0, 0]

    async def remove(which: int, store: PostgresStore) -> None:
        while step := await store.prune(Retention(10_000, 0, 10_000), 20):
            removed[which] += sum(step.values())

    await asyncio.gather(remove(0, store), remove(1, other))
    assert sum(removed) == len(tasks) + 1
    assert check(postgres_url) == []
    await other.close()
