"""What is written: a batch as one transaction, in two journeys to the server.

The first brings what is known of the batch's tasks, and locks them; the second takes along all changes, all asks and
the commit. All that is known is in the database: nothing in memory could differ from it after a failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from taskrun.adapters.stores.batches import check_batch
from taskrun.adapters.stores.postgres import reader
from taskrun.adapters.stores.postgres.changes import Row, Writing, changes, lines_put, statuses
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Journeys, Rows, Statement
from taskrun.adapters.stores.postgres.lines import line_of
from taskrun.adapters.stores.rows import task_of
from taskrun.domain.batch import (
    Answer,
    Ask,
    Batch,
    ClaimExpired,
    ClaimNext,
    ClaimTask,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    Recovery,
    TaskClaimed,
    TasksClaimed,
)
from taskrun.domain.status import TaskStatus

#: Lines that are remembered.
_KNOWN = 10_000

_BEFORE = "SELECT id, status, owner IS NULL, story_seq FROM tasks WHERE id = ANY(%b::text[]) ORDER BY id FOR UPDATE"
#: What others are claiming at this moment is passed over.
_CLAIM_NEXT = """
    WITH head AS MATERIALIZED (
        SELECT first.id FROM unnest(%b::uuid[]) AS wanted (line) CROSS JOIN LATERAL (
            SELECT id, rank FROM tasks
            WHERE line = wanted.line AND status = 'PENDING' AND owner IS NULL
            ORDER BY rank, id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
        ) AS first ORDER BY first.rank, first.id LIMIT %b::int8
    ), taken AS (
        UPDATE tasks SET owner = %b::int8 FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, rank, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    )
    SELECT id, birth, state FROM taken ORDER BY rank, id
"""
_CLAIM_TASK = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE id = %b::text AND status = 'PENDING' AND owner IS NULL FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8 FROM head WHERE tasks.id = head.id RETURNING line
    ), counted AS (
        INSERT INTO waiting (line, shard, amount) SELECT line, %b::int8, -1 FROM taken
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    )
    SELECT id, birth, state, EXISTS (SELECT FROM taken) FROM tasks WHERE id = %b::text
"""
#: The last column is when the next one has waited long enough: if no task is taken there is a row with that alone.
_CLAIM_EXPIRED = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE status = 'PENDING' AND owner IS NULL AND expires_at <= %b::int8
        ORDER BY expires_at, id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8 FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, expires_at, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    ), rest AS (
        SELECT coalesce(min(expires_at), 0) AS next FROM (
            SELECT expires_at FROM tasks
            WHERE status = 'PENDING' AND owner IS NULL AND expires_at IS NOT NULL AND id NOT IN (SELECT id FROM head)
            ORDER BY expires_at, id LIMIT 1
        ) AS first
    )
    SELECT id, birth, state, next FROM rest LEFT JOIN taken ON true ORDER BY expires_at, id
"""
_NEXT_EXPIRY = """
    SELECT coalesce(min(expires_at), 0) FROM tasks
    WHERE status = 'PENDING' AND owner IS NULL AND expires_at IS NOT NULL
"""
_FIND_KEY = """
    SELECT id, birth, state FROM keys JOIN tasks ON id = task_id
    WHERE caller = %b::text AND key = %b::text AND made_at >= %b::int8
"""
_NEW_OWNER = "SELECT nextval('owner_numbers')"
#: Those that were claimed and never saved since wait again.
_GIVE_BACK = """
    WITH waits AS (
        UPDATE tasks SET owner = NULL WHERE owner IS NOT NULL AND status = 'PENDING' RETURNING line
    )
    INSERT INTO waiting (line, shard, amount)
    SELECT line, %b::int8, count(*) FROM waits GROUP BY line ORDER BY line
    ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
"""
_TAKE_OVER = "UPDATE tasks SET owner = %b::int8 WHERE status = 'RUNNING'"
_RUNNING = "SELECT id, birth, state FROM tasks WHERE status = 'RUNNING' ORDER BY id"
_COUNTS = "SELECT name, sum(amount)::int8 FROM counts GROUP BY name"

_BEGIN: Statement = ("BEGIN", [])
_COMMIT: Statement = ("COMMIT", [])


class Writer:
    """Applies batches. Raises `psycopg.Error`, or `StoreFailed` for a batch that it refuses; then nothing is stored."""

    def __init__(self, shard: int) -> None:
        self._writing = Writing(0, shard, set())
        self._journeys: Journeys | None = None

    async def commit(self, connection: AsyncConnection, batch: Batch) -> Sequence[Answer]:
        """See `Store.commit`."""
        journeys = self._journeys_on(connection)
        rows: Mapping[str, Row] = {}
        begin: list[Statement] = [_BEGIN]
        if ids := list(batch.tasks.keys() | batch.story.keys()):
            rows = _rows((await journeys.make([*begin, (_BEFORE, [ids])]))[-1])
            begin = []
        check_batch(batch, statuses(rows))
        changed = list(changes(batch, rows, self._writing))
        asked = [self._asked(ask) for ask in batch.asks]
        answers = (await journeys.make([*begin, *changed, *asked, _COMMIT]))[len(begin) + len(changed) : -1]
        self._remember(lines_put(batch))
        return [_answer(ask, rows) for ask, rows in zip(batch.asks, answers, strict=True)]

    async def recover(self, connection: AsyncConnection) -> Recovery:
        """See `Store.recover`."""
        async with connection.transaction():
            [[owner]] = await (await connection.execute(_NEW_OWNER)).fetchall()
            await connection.execute(_GIVE_BACK, [self._writing.shard])
            await connection.execute(_TAKE_OVER, [owner])
            running = await (await connection.execute(_RUNNING)).fetchall()
            counts: dict[str, int] = dict(await (await connection.execute(_COUNTS)).fetchall())
            backlog = await reader.backlog(connection)
            [[expires_at_ms]] = await (await connection.execute(_NEXT_EXPIRY)).fetchall()
        self._writing = Writing(owner, self._writing.shard, set())
        by_status = {status: counts.get(status.value, 0) for status in TaskStatus}
        return Recovery(tuple(task_of(*row) for row in running), backlog, by_status, expires_at_ms)

    def _asked(self, ask: Ask) -> Statement:
        owner, shard = self._writing.owner, self._writing.shard
        match ask:
            case ClaimNext():
                lines = list({line_of(needs) for needs in ask.requirements})
                return _CLAIM_NEXT, [lines, ask.limit, ask.limit, owner, shard]
            case ClaimTask():
                return _CLAIM_TASK, [ask.task_id, owner, shard, ask.task_id]
            case ClaimExpired():
                return _CLAIM_EXPIRED, [ask.until_ms, ask.limit, owner, shard]
            case FindKey():
                return _FIND_KEY, [ask.caller, ask.key, ask.since_ms]

    def _journeys_on(self, connection: AsyncConnection) -> Journeys:
        if self._journeys is None or self._journeys.connection is not connection:
            self._journeys = Journeys(connection)
        return self._journeys

    def _remember(self, lines: set[UUID]) -> None:
        known = self._writing.known
        if len(known) > _KNOWN:
            known.clear()
        known |= lines


def _rows(found: Rows) -> Mapping[str, Row]:
    return {
        task_id: Row(TaskStatus(status), unowned and status == "PENDING", story_seq)
        for task_id, status, unowned, story_seq in found
    }


def _answer(ask: Ask, rows: Sequence[tuple[Any, ...]]) -> Answer:
    match ask:
        case ClaimNext():
            return TasksClaimed(ask, tuple([task_of(*row) for row in rows]))
        case ClaimTask():
            return TaskClaimed(ask, task_of(*rows[0][:3]) if rows else None, bool(rows and rows[0][3]))
        case ClaimExpired():
            tasks = tuple([task_of(*row[:3]) for row in rows if row[0] is not None])
            return ExpiredClaimed(ask, tasks, rows[0][3])
        case FindKey():
            return KeyFound(ask, task_of(*rows[0]) if rows else None)
