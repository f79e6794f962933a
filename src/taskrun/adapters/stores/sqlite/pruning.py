"""Removing what need not be kept: chosen by a reader, so that the writer does nothing but delete.

The pages that get free are used again by what is stored next, so the file does not grow; it does not shrink either.
Giving pages back to the system would move others about with every step, and a store that was this large will be again.
A backup holds no free pages.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taskrun.adapters.stores.sqlite.bulk import insert, json_list
from taskrun.adapters.stores.sqlite.connection import snapshot, transaction
from taskrun.domain.batch import Retention
from taskrun.domain.limits import RETRY_KEY
from taskrun.domain.status import TaskStatus

#: Bytes of stories that one step removes, beside the task that is more.
_MOST_STORY = 8 * 1024 * 1024
#: About what a task takes beside its story.
_TASK = 2000

_CANDIDATES = """
    SELECT id, status, finished_at,
        (SELECT coalesce(sum(length(entries)), 0) FROM story WHERE story.task_id = id),
        json_extract(CAST(body AS TEXT), '$.created_by'),
        coalesce(json_extract(CAST(body AS TEXT), '$.spec.idempotency_key'), '') AS key
    FROM tasks INDEXED BY tasks_by_end JOIN births ON births.task_id = id
    WHERE finished_at < :before AND (key = '' OR json_extract(CAST(body AS TEXT), '$.created_at_ms')
        < CASE WHEN instr(key, :retry) = 1 THEN :retries_since ELSE :keys_since END)
    ORDER BY finished_at LIMIT :limit
"""
_DELETE = (
    "DELETE FROM story WHERE task_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM births WHERE task_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM tasks WHERE id IN (SELECT value FROM json_each(?))",
)
#: Later than any task.
_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished task that need not be kept."""

    id: str
    status: TaskStatus
    #: Who created it, and with what key ("" without).
    caller: str
    key: str


def used_bytes(connection: sqlite3.Connection) -> int:
    """What the database holds, without its free pages."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def removable(connection: sqlite3.Connection, retention: Retention, limit: int) -> Sequence[Ended]:
    """Who need not be kept, the first to end first: at most `limit`, and no more story than a step may remove."""
    with snapshot(connection):
        too_much = used_bytes(connection) - retention.max_bytes if retention.max_bytes else 0
        before = _EVER if too_much > 0 else retention.ended_before_ms
        given = {
            "before": before,
            "retry": RETRY_KEY,
            "retries_since": retention.retries_since_ms,
            "keys_since": retention.keys_since_ms,
            "limit": limit,
        }
        rows = connection.execute(_CANDIDATES, given).fetchall()
    chosen: list[Ended] = []
    story = 0
    for task_id, status, finished_at, size, caller, key in rows:
        if finished_at >= retention.ended_before_ms and too_much <= 0:
            break
        chosen.append(Ended(task_id, TaskStatus(status), caller, key))
        too_much -= size + _TASK
        story += size
        if story > _MOST_STORY:
            break
    return chosen


def remove(connection: sqlite3.Connection, tasks: Sequence[Ended]) -> Mapping[TaskStatus, int]:
    """Removes them with all that belongs to them; a finished task never changes, so they are still what they were."""
    removed = Counter(task.status for task in tasks)
    if not tasks:
        return removed
    ids = json_list([task.id for task in tasks])
    with transaction(connection):
        for sql in _DELETE:
            connection.execute(sql, (ids,))
        for task in tasks:
            if task.key:
                name = (task.caller, task.key, task.id)
                connection.execute("DELETE FROM keys WHERE caller = ? AND key = ? AND task_id = ?", name)
        insert(
            connection,
            "INSERT INTO counts (status, tasks)",
            [(status.value, -count) for status, count in removed.items()],
            "ON CONFLICT (status) DO UPDATE SET tasks = tasks + excluded.tasks",
        )
    return removed
