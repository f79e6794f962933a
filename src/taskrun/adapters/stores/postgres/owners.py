"""Who has claimed tasks: control planes that share a database, each under a number that only grows.

An owner lives as long as the connection on which it commits: it holds an advisory lock, and where another can have that
the process is gone. It lives no longer than its lease, by the server's clock: a process that is frozen, or cut off,
renews nothing while its connection may look sound for long. An owner that was taken for dead has no row any more, which
every commit of it notices: the row is locked against removal while it commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.rows import task_of
from taskrun.domain.errors import LeaseLost
from taskrun.domain.records import Task

#: The first key of the advisory locks that owners hold; the second is the number.
_KEY = "hashtext('taskrun ' || current_schema())"

_REGISTER = f"""
    WITH new AS (SELECT nextval('owner_numbers') AS number), locked AS (
        SELECT number, pg_advisory_lock({_KEY}, number::int4) FROM new
    )
    INSERT INTO owners (number, lease_until) SELECT number, now() + make_interval(secs => %s) FROM locked
    RETURNING number
"""  # noqa: S608  # a key of ours
_RESIGN = "UPDATE owners SET lease_until = '-infinity' WHERE number = %s"
_RENEW = "UPDATE owners SET lease_until = now() + make_interval(secs => %s) WHERE number = %s"
_OTHERS = "SELECT EXISTS (SELECT FROM owners WHERE number <> %s)"
_REMOVE = "DELETE FROM owners WHERE number = %s"
#: Those that are gone, and those that were silent. Who commits at this moment, or is taken over by another, is left.
_DEAD = f"""
    WITH dead AS MATERIALIZED (
        SELECT number FROM owners
        WHERE number <> %s AND (lease_until < now() OR pg_try_advisory_xact_lock({_KEY}, number::int4))
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM owners USING dead WHERE owners.number = dead.number RETURNING owners.number
"""  # noqa: S608
_GIVE_BACK = """
    WITH waits AS (
        UPDATE tasks SET waits = true, owner = NULL WHERE status = 'PENDING' AND NOT waits AND owner = ANY(%s::int8[])
        RETURNING line
    )
    INSERT INTO waiting (line, shard, amount)
    SELECT line, %s::int8, count(*) FROM waits GROUP BY line ORDER BY line
    ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
"""
_RUNNING = """
    UPDATE tasks SET owner = %s WHERE status = 'RUNNING' AND owner = ANY(%s::int8[]) RETURNING id, birth, state
"""


def lease_lost() -> LeaseLost:
    """What an owner hears that has no row any more."""
    return LeaseLost("Another control plane has taken over: this one was silent for too long.")


async def register(connection: AsyncConnection, lease: float) -> int:
    """A new owner, for the life of this connection; it has to say within `lease` seconds that it lives."""
    [[number]] = await _all(connection, _REGISTER, [lease])
    return int(number)


async def renew(connection: AsyncConnection, number: int, lease: float) -> None:
    """The owner lives. Raises `LeaseLost` if it was taken for dead."""
    cursor = await connection.execute(_RENEW, [lease, number])
    if not cursor.rowcount:
        raise lease_lost()


async def resign(connection: AsyncConnection, number: int) -> None:
    """The owner ends: others may have what it has."""
    await connection.execute(_RESIGN, [number])


async def take_over(connection: AsyncConnection, number: int, shard: int, last: int = 0) -> tuple[Task, ...]:
    """Gives this owner the RUNNING tasks of the dead, and the queue what they had claimed; so also what it had itself
    under its `last` number. Runs in a transaction of the caller's."""
    if last:
        await connection.execute(_REMOVE, [last])
    of = [each for (each,) in await _all(connection, _DEAD, [number])] + [last] * bool(last)
    if not of:
        return ()
    await connection.execute(_GIVE_BACK, [of, shard])
    running = await _all(connection, _RUNNING, [number, of])
    return tuple(task_of(*row) for row in sorted(running))


async def others(connection: AsyncConnection, number: int) -> bool:
    """Whether there are any, alive or just gone."""
    [[found]] = await _all(connection, _OTHERS, [number])
    return bool(found)


async def _all(connection: AsyncConnection, sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(sql, given)).fetchall()
