"""Claims under a limit on how many run at once, which holds for all control planes on the database.

What runs is counted by rows, one for each task and account, and each task says itself whether it still runs: so nothing
has to be taken back when it ends, wherever it ends. Who claims for an account keeps others from that until its commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskrun.adapters.stores.postgres.accounts import texts_of
from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.adapters.stores.postgres.lines import line_of
from taskrun.adapters.stores.rows import task_of
from taskrun.domain.batch import ClaimNext, TasksClaimed

#: In one order, so that no two wait for each other.
_LOCK = """
    SELECT count(pg_advisory_xact_lock(key)) FROM (
        SELECT DISTINCT hashtextextended(current_schema() || ' ' || account, 0) AS key
        FROM unnest(%b::text[]) AS wanted (account) ORDER BY key
    ) AS keys
"""
_TIDY = """
    DELETE FROM running WHERE account = ANY(%b::text[]) AND NOT EXISTS (
        SELECT FROM tasks WHERE id = task_id AND (status = 'RUNNING' OR status = 'PENDING' AND NOT waits)
    )
"""
#: The last column has the accounts that had room for fewer than were asked for, by their number: if no task is taken
#: there is a row with that alone.
_CLAIM = """
    WITH rooms AS MATERIALIZED (
        SELECT number, account, most - (SELECT count(*) FROM running WHERE running.account = wanted.account) AS room
        FROM unnest(%b::text[], %b::int8[]) WITH ORDINALITY AS wanted (account, most, number)
    ), head AS MATERIALIZED (
        SELECT first.id FROM unnest(%b::uuid[]) AS wanted (line) CROSS JOIN LATERAL (
            SELECT id, rank FROM tasks
            WHERE line = wanted.line AND waits
            ORDER BY rank, id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
        ) AS first ORDER BY first.rank, first.id LIMIT (SELECT greatest(0, least(%b::int8, min(room))) FROM rooms)
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, rank, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    ), noted AS (
        INSERT INTO running (account, task_id) SELECT account, id FROM rooms CROSS JOIN taken
        ON CONFLICT DO NOTHING
    ), full_ones AS (
        SELECT coalesce(array_agg(number), '{}') AS numbers FROM rooms WHERE room < %b::int8
    )
    SELECT id, birth, state, numbers FROM full_ones LEFT JOIN taken ON true ORDER BY rank, id
"""


def prepared(asks: Sequence[ClaimNext]) -> list[Statement]:
    """What comes before these, which have limits."""
    accounts = list({text for ask in asks for text in texts_of(ask.limits)})
    return [(_LOCK, [accounts]), (_TIDY, [accounts])]


def claim(ask: ClaimNext, owner: int, shard: int) -> Statement:
    """Takes no more than its limits leave."""
    most = [most for _, most in ask.limits]
    lines = list({line_of(needs) for needs in ask.requirements})
    return _CLAIM, [texts_of(ask.limits), most, lines, ask.limit, ask.limit, owner, shard, ask.limit]


def claimed(ask: ClaimNext, rows: Sequence[tuple[Any, ...]]) -> TasksClaimed:
    """The answer. Who got all that it asked for has no need to know who is full."""
    tasks = tuple([task_of(*row[:3]) for row in rows if row[0] is not None])
    full = rows[0][3] if len(tasks) < ask.limit else ()
    return TasksClaimed(ask, tasks, tuple([ask.limits[number - 1][0] for number in full]))
