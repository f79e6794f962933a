"""Answers that would be very long end early, and can be gone on with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite import lines
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.domain.records import Requirement, TaskQuery
from taskrun.ports.store import Batch, Retention
from taskrun.testing.contracts.store_cases import COMPLETED, RUNNING, claim, ids, make_task, moved, output, save, tell

MIB = 1024 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(Database(tmp_path / "taskrun.db"))
    yield store
    await store.close()


async def test_a_page_of_large_inputs_ends_early(store: SqliteStore) -> None:
    large = '"' + "x" * MIB + '"'
    for n in range(20):
        task = make_task(n)
        await save(store, replace(task, spec=replace(task.spec, input_json=large)))
    seen, query = list[str](), TaskQuery()
    while True:
        page = await store.find(query)
        assert len(page.tasks) <= 17
        seen += [task.id for task in page.tasks]
        if not page.next_page_token:
            break
        query = replace(query, page_token=page.next_page_token)
    assert seen == ids(*reversed(range(20)))


async def test_a_story_is_read_a_little_at_a_time_so_that_who_reads_no_more_holds_little(store: SqliteStore) -> None:
    task = make_task(1, RUNNING)
    await save(store, task)
    for seq in range(1, 321, 10):
        await tell(store, task, output(seq, *["x" * 4096] * 10))
    seq, parts = 1, 0
    while entries := await store.story(task.id, seq):
        assert sum(entry.next_seq - entry.seq for entry in entries) * 4096 <= 300 * 1024
        seq, parts = entries[-1].next_seq, parts + 1
    assert (seq, parts) == (321, 5)


async def test_a_step_of_pruning_ends_early_when_stories_are_long(store: SqliteStore) -> None:
    chunks = ["x" * 60_000] * 100
    for n in range(3):
        task = make_task(n, RUNNING)
        await store.commit(Batch({task.id: task}, {task.id: [output(0, *chunks)]}))
        await save(store, replace(moved(task, COMPLETED), finished_at_ms=n + 1))
    steps = [dict(await store.prune(Retention(100, 0, 0), 100)) for _ in range(3)]
    assert steps == [{COMPLETED: 2}, {COMPLETED: 1}, {}]


async def test_any_number_of_requirements_is_kept_apart(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_KNOWN", 3)
    needs = [Requirement(f"agent-{n}") for n in range(10)]
    await save(store, *(make_task(n, needs=needs[n % 10]) for n in range(20)))
    for n in range(10):
        assert await claim(store, needs[n]) == ids(n, n + 10)
