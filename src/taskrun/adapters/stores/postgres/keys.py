"""Idempotency keys: a task is known by the key that its caller made it with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.domain.batch import Batch
from taskrun.domain.limits import KEY_LIFE_MS
from taskrun.domain.records import Task

#: Which of the batch's new tasks another control plane has made already; of the others the keys are kept.
_KEEP_KEYS = """
    WITH new AS MATERIALIZED (
        SELECT DISTINCT ON (caller, key) caller, key, made_at, task_id
        FROM unnest(%b::text[], %b::text[], %b::int8[], %b::text[]) WITH ORDINALITY
            AS keyed (caller, key, made_at, task_id, place)
        WHERE NOT EXISTS (SELECT FROM tasks WHERE id = keyed.task_id)
        ORDER BY caller, key, place DESC
    ), kept AS (
        INSERT INTO keys (caller, key, made_at, task_id, owner)
        SELECT caller, key, made_at, task_id, %b::int8 FROM new
        ON CONFLICT (caller, key) DO UPDATE SET made_at = excluded.made_at, task_id = excluded.task_id,
            owner = excluded.owner
        WHERE keys.owner IS NULL OR keys.owner = excluded.owner OR keys.made_at < excluded.made_at - %b::int8
        RETURNING task_id
    )
    SELECT task_id FROM new WHERE task_id NOT IN (SELECT task_id FROM kept)
"""
_DROP_KEYS = """
    DELETE FROM keys USING unnest(%b::text[], %b::text[]) AS gone (caller, key)
    WHERE keys.caller = gone.caller AND keys.key = gone.key
"""


def keep_keys(batch: Batch, owner: int) -> Iterator[Statement]:
    """Keeps the keys of the batch's new tasks. Its rows name those that another control plane was the first to make."""
    keyed = [task for task in batch.tasks.values() if task.spec.idempotency_key]
    if keyed:
        yield (
            _KEEP_KEYS,
            [
                [task.created_by for task in keyed],
                [task.spec.idempotency_key for task in keyed],
                [task.created_at_ms for task in keyed],
                [task.id for task in keyed],
                owner,
                KEY_LIFE_MS,
            ],
        )


def drop_keys(tasks: Iterable[Task]) -> Iterator[Statement]:
    """Lets go the keys that were kept for these tasks. Another's cannot be meant, and what one replaced was too old."""
    keyed = [task for task in tasks if task.spec.idempotency_key]
    if keyed:
        yield _DROP_KEYS, [[task.created_by for task in keyed], [task.spec.idempotency_key for task in keyed]]
