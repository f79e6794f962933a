"""How many run of accounts of which only so many may, counted for all control planes on the database.

What runs has a row for each account, and its task says itself whether it still runs: so nothing has to be taken back
when it ends, wherever it ends. An account's own row says that no more than so many run, and only where that leaves too
little room it is counted what does. Who has tasks of an account begin holds its row until the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taskrun.adapters.stores.postgres.accounts import text_of, texts_of
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.adapters.stores.postgres.turns import EASY, TURN
from taskrun.domain.quotas import AccountName, Figures

#: By task that runs, where it is counted.
Running = Mapping[str, Sequence[AccountName]]

#: Of an account whose row is new nothing is known: it is counted.
_UNKNOWN = 2**62

#: Rows that a meeting removes, so that it does not last: they are half a second's work.
_MANY = 50_000

#: In one order, so that no two wait for each other. A row that is there is locked by this too, although nothing about
#: it changes.
_LOCK = """
    INSERT INTO crews (account, most)
    SELECT account, %b::int8 FROM unnest(%b::text[]) AS wanted (account) ORDER BY account
    ON CONFLICT (account) DO UPDATE SET most = 0 WHERE false
"""
# Rows are looked up one by one, and changed where they were found (`OFFSET 0` and `ctid`), in whatever order the server
# would like to join them: it may have seen these tables when they were empty, as a meeting leaves them.
_RUNS = """
    SELECT FROM tasks WHERE id = task_id AND (status = 'RUNNING' OR status = 'PENDING' AND NOT waits) OFFSET 0
"""
#: Of the accounts that will be counted, so that there is little to count.
_CLEAR = f"""
    DELETE FROM running WHERE ctid = ANY(ARRAY(
        SELECT gone.ctid FROM unnest(%b::text[], %b::int8[], %b::int8[]) AS wanted (account, more, figure)
            CROSS JOIN LATERAL (SELECT most, queue FROM crews WHERE account = wanted.account OFFSET 0) AS crew
            CROSS JOIN LATERAL (
                SELECT running.ctid FROM running
                WHERE account = wanted.account AND NOT ({EASY}) AND NOT EXISTS ({_RUNS})
                FOR UPDATE SKIP LOCKED
            ) AS gone
    ))
"""  # noqa: S608  # a text of ours
#: How many run of each account: as its row says, if that leaves room for `more`, else as is counted, and with those for
#: whom others have their turn. The row says from then on that all of these may run.
_COUNT = f"""
    WITH known AS MATERIALIZED (
        SELECT %b::int8 AS me, wanted.*, crew.*, {EASY} AS easy
        FROM unnest(%b::text[], %b::int8[], %b::int8[]) AS wanted (account, more, figure) CROSS JOIN LATERAL (
            SELECT ctid AS row, most, queue, called_at FROM crews WHERE account = wanted.account OFFSET 0
        ) AS crew
    ), found AS MATERIALIZED (
        SELECT me, account, row, more, figure, queue, called_at, (
            SELECT count(*) FROM running WHERE running.account = known.account AND EXISTS ({_RUNS})
        ) AS most
        FROM known WHERE NOT easy
    ), told AS (
        SELECT account, row, more, most, queue, called_at, NULL::int4 AS rest, false AS moved FROM known WHERE easy
        UNION ALL
        SELECT account, row, more, greatest(most, figure - share), turn.queue, turn.called_at, rest, moved
        FROM found CROSS JOIN LATERAL ({TURN}) AS turn
    )
    UPDATE crews SET most = told.most + more, queue = told.queue, called_at = told.called_at
    FROM told WHERE crews.ctid = row
    RETURNING crews.account, told.most, rest, moved
"""  # noqa: S608  # a text of ours
#: Of new tasks, which nobody else knows.
_NOTE = "INSERT INTO running (account, task_id) SELECT * FROM unnest(%b::text[], %b::text[]) ON CONFLICT DO NOTHING"
#: Of tasks that run already. Where that is news an account's row knows less than it says.
_LEARN = """
    WITH new AS (
        INSERT INTO running (account, task_id) SELECT * FROM unnest(%b::text[], %b::text[]) ON CONFLICT DO NOTHING
        RETURNING account
    )
    UPDATE crews SET most = %b::int8 FROM (SELECT DISTINCT account FROM new) AS more CROSS JOIN LATERAL (
        SELECT ctid AS place FROM crews WHERE account = more.account OFFSET 0
    ) AS crew WHERE crews.ctid = place
"""
#: Of tasks that will never run again: nobody can be about to claim one. Who counts may be removing some, too.
_FORGET = f"""
    DELETE FROM running WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM running
        WHERE NOT EXISTS (SELECT FROM tasks WHERE id = task_id AND finished_at IS NULL OFFSET 0)
        LIMIT {_MANY} FOR UPDATE SKIP LOCKED
    ))
"""  # noqa: S608  # a number of ours
#: Of accounts of which nothing runs: who waits for room in one has his time from now on.
_CALL = """
    UPDATE crews SET called_at = now() WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM crews WHERE called_at IS NULL AND queue <> '{}'
            AND NOT EXISTS (SELECT FROM running WHERE running.account = crews.account OFFSET 0)
        FOR UPDATE SKIP LOCKED
    ))
"""
#: Who claims for one of them at this moment holds it, and is not waited for.
_TIDY = """
    DELETE FROM crews WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM crews WHERE (queue = '{}' OR called_at < now() - interval '5 s')
            AND NOT EXISTS (SELECT FROM running WHERE running.account = crews.account OFFSET 0)
        FOR UPDATE SKIP LOCKED
    ))
"""


def counted(me: int, more: Mapping[str, int], figure: Mapping[str, int], running: Running) -> list[Statement]:
    """What has the accounts to itself and counts them: the rows of the last are their names, how many run or may before
    the asker does, and `rest` and `moved` as in `TURN`, NULL where there is room for all.

    `more` may be claimed of each for the owner `me`, and `figure` is what it may have at most; `running` counts from
    now on. A statement sees what was committed before it began: so the lock is one, and the count another.
    """
    wanted = [list(more), list(more.values()), [figure[account] for account in more]]
    rows = [(text_of(account), task_id) for task_id, accounts in running.items() for account in accounts]
    locked = list(dict.fromkeys([*more, *(account for account, _ in rows)]))
    learnt: list[Statement] = [(_LEARN, [*_columns(rows), _UNKNOWN])] if rows else []
    return [(_LOCK, [_UNKNOWN, locked]), *learnt, (_CLEAR, wanted), (_COUNT, [me, *wanted])]


def noted(begun: Mapping[str, Figures]) -> list[Statement]:
    """What has it known in which accounts new tasks run."""
    rows = [(account, task_id) for task_id, figures in begun.items() for account in texts_of(figures)]
    return [(_NOTE, _columns(rows))]


async def tidy(connection: AsyncConnection) -> None:
    """Removes what says nothing any more."""
    for statement in (_FORGET, _CALL, _TIDY):
        await connection.execute(statement)


def _columns(rows: Sequence[tuple[str, str]]) -> list[list[str]]:
    return [[account for account, _ in rows], [task_id for _, task_id in rows]]
