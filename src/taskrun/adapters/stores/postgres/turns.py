"""Whose turn it is where an account is full and several control planes wait for room in it.

The account's row has their queue. Room goes round in it, one place each, and who asks gets what falls to it; who does
not stand there yet is the last. Who gets less than it wants stands at the end from then on, who gets nothing stays
where it is, and who gets all of it leaves. Nobody keeps room for long that he does not use: who has not come a second
after there was room for him is dropped by whoever asks next, and so is who is gone. Where there is room for all that
is wanted the queue is empty, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from taskrun.adapters.stores.postgres.database import AsyncConnection

#: Of an account's row: nobody waits for room in it, and there is room for all that is wanted.
EASY = "most + more <= figure AND queue = '{}'"
#: Of a row of `found`, where `me` asks for `more` beside the `most` that run, of `figure`: what falls to it; the queue
#: from now on; since when there has been room for the first of that; what is left for the others of it, NULL if there
#: are none; and whether somebody was dropped, or it has had its turn. Step by step: who of the queue still is there,
#: who of these is before and behind the asker, what falls to it, and what comes of that. `OFFSET 0` is for what should
#: be worked out once.
TURN = """
    SELECT share, line AS queue,
        CASE WHEN room > got AND line <> '{}'
            THEN CASE WHEN line[1] = queue[1] THEN coalesce(called_at, clock_timestamp()) ELSE clock_timestamp() END
        END AS called_at,
        CASE WHEN ahead || behind <> '{}' THEN (room - got)::int4 END AS rest,
        cardinality(here) < cardinality(queue) OR mine IS NOT NULL AND got > 0 AS moved
    FROM (SELECT greatest(figure - most, 0)::int4 AS room) AS account
    CROSS JOIN LATERAL (SELECT ARRAY(
        SELECT number FROM unnest(queue) WITH ORDINALITY AS each (number, place)
        WHERE number = me OR EXISTS (SELECT FROM owners WHERE owners.number = each.number) AND (
            place > room OR called_at IS NULL
            OR called_at BETWEEN clock_timestamp() - interval '1 s' AND clock_timestamp()
        )
        ORDER BY place
    ) AS here OFFSET 0) AS present
    CROSS JOIN LATERAL (SELECT array_position(here, me) AS mine) AS asker
    CROSS JOIN LATERAL (
        SELECT coalesce(here[:mine - 1], here) AS ahead, coalesce(here[mine + 1:], '{}') AS behind OFFSET 0
    ) AS others
    CROSS JOIN LATERAL (SELECT cardinality(ahead) + 1 + cardinality(behind) AS number) AS all_of_them
    CROSS JOIN LATERAL (SELECT room / number + (cardinality(ahead) < room % number)::int4 AS share) AS part
    CROSS JOIN LATERAL (SELECT least(more, share) AS got) AS outcome
    CROSS JOIN LATERAL (
        SELECT CASE WHEN got = more THEN ahead || behind WHEN got > 0 THEN ahead || behind || me
            ELSE ahead || me || behind END AS line
        OFFSET 0
    ) AS after
"""
_LEAVE = """
    WITH mine AS MATERIALIZED (
        SELECT account, called_at IS NOT NULL AND queue[1] = %(me)s::int8 AS called FROM crews
        WHERE account = ANY(%(accounts)s::text[]) AND %(me)s::int8 = ANY(queue) ORDER BY account FOR UPDATE
    )
    UPDATE crews SET queue = array_remove(queue, %(me)s::int8), called_at = CASE WHEN NOT called THEN called_at END
    FROM mine WHERE crews.account = mine.account
    RETURNING called
"""


@dataclass(frozen=True, slots=True)
class Places:
    """What a commit has done in queues."""

    #: Others have room now that was not theirs before.
    passed_on: bool = False
    #: Accounts in whose queues the control plane stands for nothing: it wants no more, or waits for another account.
    unwanted: Collection[str] = ()


async def leave(connection: AsyncConnection, me: int, accounts: Collection[str]) -> bool:
    """Gives the places in these queues up. Whether others have been kept waiting for that."""
    cursor = await connection.execute(_LEAVE, {"me": me, "accounts": list(accounts)})
    return (True,) in await cursor.fetchall()
