"""What a commit asks, each by a statement of its own: what is claimed is found and taken by the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from taskrun.adapters.stores.postgres import messages
from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.adapters.stores.postgres.lines import line_of
from taskrun.adapters.stores.rows import task_of
from taskrun.domain.batch import (
    Answer,
    Ask,
    CancelRelayed,
    ClaimExpired,
    ClaimNext,
    ClaimRuns,
    ClaimStranded,
    ClaimTask,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    RelayCancel,
    RunsClaimed,
    StrandedClaimed,
    TakeRate,
    TaskClaimed,
    TasksClaimed,
)
from taskrun.domain.relayed import MessageAsk

#: What others are claiming at this moment is passed over.
_CLAIM_NEXT = """
    WITH head AS MATERIALIZED (
        SELECT first.id FROM unnest(%b::uuid[]) AS wanted (line) CROSS JOIN LATERAL (
            SELECT id, rank FROM tasks
            WHERE line = wanted.line AND waits
            ORDER BY rank, id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
        ) AS first ORDER BY first.rank, first.id LIMIT %b::int8
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, rank, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    )
    SELECT id, birth, state FROM taken ORDER BY rank, id
"""
#: One that another is claiming at this moment is another's.
_CLAIM_TASK = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE id = %b::text AND waits FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id RETURNING line
    ), counted AS (
        INSERT INTO waiting (line, shard, amount) SELECT line, %b::int8, -1 FROM taken
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    ), resting AS (
        DELETE FROM running WHERE task_id IN (SELECT id FROM head)
    )
    SELECT id, birth, state, EXISTS (SELECT FROM taken),
        finished_at IS NULL AND (waits OR owner <> %b::int8) AND NOT EXISTS (SELECT FROM taken)
    FROM tasks WHERE id = %b::text
"""
#: The last column is when the next one has waited long enough: if no task is taken there is a row with that alone.
_CLAIM_EXPIRED = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE waits AND expires_at <= %b::int8
        ORDER BY expires_at, id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, expires_at, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    ), rest AS (
        SELECT coalesce(min(expires_at), 0) AS next FROM (
            SELECT expires_at FROM tasks
            WHERE waits AND expires_at IS NOT NULL AND id NOT IN (SELECT id FROM head)
            ORDER BY expires_at, id LIMIT 1
        ) AS first
    )
    SELECT id, birth, state, next FROM rest LEFT JOIN taken ON true ORDER BY expires_at, id
"""
_CLAIM_STRANDED = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE waits AND holder = %b::text ORDER BY id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    )
    SELECT id, birth, state FROM taken ORDER BY id
"""
_FIND_KEY = """
    SELECT id, birth, state FROM keys JOIN tasks ON id = task_id
    WHERE caller = %b::text AND key = %b::text AND made_at >= %b::int8
"""
#: What another writes of them at this moment is waited for: it is a part of what the worker goes on from.
_CLAIM_RUNS = """
    WITH brought AS MATERIALIZED (
        SELECT id, birth, state, owner FROM tasks WHERE worker_id = %b::text AND status = 'RUNNING'
        ORDER BY id FOR UPDATE
    ), taken AS (
        UPDATE tasks SET owner = %b::int8 FROM brought WHERE tasks.id = brought.id AND brought.owner <> %b::int8
    )
    SELECT id, birth, state, owner = %b::int8 FROM brought
"""
#: Its row is locked with those of the batch: whoever ends the task was before this, or sees it.
_RELAY_CANCEL = """
    WITH wanted AS (
        UPDATE tasks SET cancel_wanted = true WHERE id = %b::text AND finished_at IS NULL AND NOT cancel_wanted
    )
    SELECT id, birth, state FROM tasks WHERE id = %b::text
"""

#: What is asked by a statement of its own.
Plain = ClaimNext | ClaimTask | ClaimExpired | ClaimStranded | FindKey | ClaimRuns | RelayCancel | MessageAsk


def is_limited(ask: Ask) -> TypeGuard[ClaimNext]:
    """Whether a limit has its say about what is claimed."""
    return type(ask) is ClaimNext and bool(ask.limits)


def is_plain(ask: Ask) -> TypeGuard[Plain]:
    """Whether it is one of these."""
    return type(ask) is not TakeRate and not is_limited(ask)


def statement_of(ask: Plain, owner: int, shard: int) -> Statement:
    """The question as a statement of the owner's commit, which counts in this shard."""
    match ask:
        case ClaimNext():
            lines = list({line_of(needs) for needs in ask.requirements})
            return _CLAIM_NEXT, [lines, ask.limit, ask.limit, owner, shard]
        case ClaimTask():
            return _CLAIM_TASK, [ask.task_id, owner, shard, owner, ask.task_id]
        case ClaimExpired():
            return _CLAIM_EXPIRED, [ask.until_ms, ask.limit, owner, shard]
        case ClaimStranded():
            return _CLAIM_STRANDED, [ask.worker_id, ask.limit, owner, shard]
        case FindKey():
            return _FIND_KEY, [ask.caller, ask.key, ask.since_ms]
        case ClaimRuns():
            return _CLAIM_RUNS, [ask.worker_id, owner, owner, owner]
        case RelayCancel():
            return _RELAY_CANCEL, [ask.task_id, ask.task_id]
        case _:
            return messages.asked(ask, owner)


def answer_of(ask: Plain, rows: Sequence[tuple[Any, ...]]) -> Answer:
    """What its rows say."""
    match ask:
        case ClaimNext():
            return TasksClaimed(ask, tuple([task_of(*row) for row in rows]))
        case ClaimTask():
            [(*task, owned, elsewhere)] = rows or [(None, False, False)]
            return TaskClaimed(ask, task_of(*task) if rows else None, owned, elsewhere)
        case ClaimExpired():
            tasks = tuple([task_of(*row[:3]) for row in rows if row[0] is not None])
            return ExpiredClaimed(ask, tasks, rows[0][3])
        case ClaimStranded():
            return StrandedClaimed(ask, tuple([task_of(*row) for row in rows]))
        case FindKey():
            return KeyFound(ask, task_of(*rows[0]) if rows else None)
        case ClaimRuns():
            own = frozenset(task_id for task_id, *_, was_own in rows if was_own)
            return RunsClaimed(ask, tuple([task_of(*row[:3]) for row in rows]), own)
        case RelayCancel():
            return CancelRelayed(ask, task_of(*rows[0]) if rows else None)
        case _:
            return messages.answer(ask, rows)
