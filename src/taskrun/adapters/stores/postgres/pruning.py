"""Removing what need not be kept, on a connection beside the batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from taskrun.adapters.stores.postgres.changes import BYTES, TASK_BYTES
from taskrun.adapters.stores.postgres.database import SHARDS, AsyncConnection
from taskrun.domain.batch import Retention
from taskrun.domain.limits import RETRY_KEY
from taskrun.domain.status import TaskStatus

#: Characters of stories that one step removes, beside the task that is more.
_MOST_STORY = 8 * 1024 * 1024
#: Later than any task.
_EVER = 2**62

_BYTES = "SELECT coalesce(sum(amount), 0)::int8 FROM counts WHERE name = %b"
#: What another control plane is removing is passed over.
_CANDIDATES = """
    SELECT id, status, finished_at, octet_length(birth),
        (SELECT coalesce(sum(octet_length(entries)), 0)::int8 FROM story WHERE task_id = id)
    FROM tasks
    WHERE finished_at < %b::int8 AND (
        coalesce(birth::json #>> '{spec,idempotency_key}', '') = ''
        OR (birth::json ->> 'created_at_ms')::int8
            < CASE WHEN starts_with(birth::json #>> '{spec,idempotency_key}', %b::text) THEN %b::int8 ELSE %b::int8 END
    )
    ORDER BY finished_at LIMIT %b::int8 FOR UPDATE SKIP LOCKED
"""
_DELETE = (
    """
    DELETE FROM keys USING tasks
    WHERE tasks.id = ANY(%b::text[]) AND keys.task_id = tasks.id AND caller = birth::json ->> 'created_by'
        AND key = birth::json #>> '{spec,idempotency_key}'
    """,
    "DELETE FROM story WHERE task_id = ANY(%b::text[])",
    "DELETE FROM tasks WHERE id = ANY(%b::text[])",
)
_COUNT = """
    INSERT INTO counts (name, shard, amount) SELECT name, %b::int8, more FROM unnest(%b::text[], %b::int8[])
        AS new (name, more) ORDER BY name
    ON CONFLICT (name, shard) DO UPDATE SET amount = counts.amount + excluded.amount
"""


async def prune(connection: AsyncConnection, retention: Retention, limit: int) -> Mapping[TaskStatus, int]:
    """See `Store.prune`. Runs in a transaction of the caller's."""
    too_much = 0
    if retention.max_bytes:
        [[used]] = await _all(connection, _BYTES, [BYTES])
        too_much = used - retention.max_bytes
    before = _EVER if too_much > 0 else retention.ended_before_ms
    ids: list[str] = []
    removed = Counter[TaskStatus]()
    size = stories = 0
    given = [before, RETRY_KEY, retention.retries_since_ms, retention.keys_since_ms, limit]
    for task_id, status, finished_at, birth, story in await _all(connection, _CANDIDATES, given):
        if (finished_at >= retention.ended_before_ms and too_much <= size) or stories > _MOST_STORY:
            break
        ids.append(task_id)
        removed[TaskStatus(status)] += 1
        stories += story
        size += birth + story + TASK_BYTES
    if ids:
        for sql in _DELETE:
            await connection.execute(sql, [ids])
        counts = {status.value: -count for status, count in removed.items()} | {BYTES: -size}
        await connection.execute(_COUNT, [SHARDS - 1, list(counts), list(counts.values())])
    return removed


async def _all(connection: AsyncConnection, sql: str, given: list[Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(sql, given)).fetchall()
