"""What a task costs does not depend on how many there are."""

from __future__ import annotations

import gc
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskrun.adapters.stores.sqlite import lines, pruning, reader, writer
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.ports.store import Batch, ClaimNext
from taskrun.testing.contracts.store_cases import COMPLETED, GENERAL, change, make_task, moved, save


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "taskrun.db")
    yield database
    await database.close()


async def _cost_of_a_task(store: SqliteStore, first: int, count: int = 1000) -> float:
    """CPU seconds of the process to create, claim and end one task, the quickest of several tries."""
    best = float("inf")
    for start in range(first, first + 5 * count, count):
        tasks = [make_task(n) for n in range(start, start + count)]
        begun = time.process_time()
        for at in range(0, count, 50):
            part = tasks[at : at + 50]
            stories = {task.id: [change(0)] for task in part}
            await store.commit(Batch({task.id: task for task in part}, stories, [ClaimNext(None, (GENERAL,), 50)]))
            await save(store, *(moved(task, COMPLETED) for task in part))
        best = min(best, (time.process_time() - begun) / count)
    return best


async def test_a_task_costs_the_same_however_many_wait(database: Database) -> None:
    store = SqliteStore(database)
    gc.collect()
    gc.disable()  # its cost is the process's, and it comes when it likes
    try:
        alone = await _cost_of_a_task(store, 0)
        for begin in range(100_000, 150_000, 1000):
            await save(store, *(make_task(n) for n in range(begin, begin + 1000)))
        crowded = await _cost_of_a_task(store, 200_000)
    finally:
        gc.enable()
    assert crowded < 2 * alone


#: Each with its number of parameters, and what alone it may look through from end to end.
QUERIES = {
    "before": (writer._BEFORE, 1, {"wanted"}),
    "tasks": (reader._TASKS, 1, {"wanted", "(subquery-1)"}),
    "story": (reader._STORY, 3, set[str]()),
    "head": (lines._HEAD, 2, {"(subquery-1)"}),
    "take": (lines._TAKE, 3, {"json_each"}),
    "expired": (lines._EXPIRED, 2, {"(subquery-1)"}),
    "stranded": (lines._STRANDED, 2, {"(subquery-1)"}),
    "next expiry": (lines._NEXT_EXPIRY, 0, set[str]()),
    "count": (lines._COUNT, 1, {"json_each"}),
    "key": (writer._FIND_KEY, 3, set[str]()),
    "backlog": (reader._BACKLOG, 0, {"requirements"}),
    **{f"remove {n}": (sql, 1, {"json_each"}) for n, sql in enumerate(pruning._DELETE)},
}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_statement_of_the_daily_round_looks_through_a_table(database: Database, name: str) -> None:
    sql, parameters, allowed = QUERIES[name]
    rows = _plan(database.writer, sql, parameters)
    scanned = {row.split()[1] for row in rows if row.startswith("SCAN")}
    assert scanned <= allowed, rows


async def test_tasks_are_taken_out_of_the_queue_by_its_whole_key(database: Database) -> None:
    rows = _plan(database.writer, lines._TAKE, 3)
    assert "SEARCH queue USING PRIMARY KEY (requirement=? AND rank=? AND task_id=?)" in rows


async def test_nobody_behind_a_task_is_looked_at_to_find_its_place(database: Database) -> None:
    rows = _plan(database.writer, reader._AHEAD, 6)
    assert "SEARCH queue USING PRIMARY KEY (requirement=? AND (rank,task_id)<(?,?))" in rows
    assert {row.split()[1] for row in rows if row.startswith("SCAN")} == {"(subquery-1)"}


def _plan(connection: sqlite3.Connection, sql: str, parameters: int) -> list[str]:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * parameters)
    return [detail for _, _, _, detail in rows]
