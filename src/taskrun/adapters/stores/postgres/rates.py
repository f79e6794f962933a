"""Rates of new tasks, which hold for all control planes on the database: the generic cell rate algorithm (ITU-T I.371),
by the server's clock.

Who asks holds the rows of all accounts that it asks for until its commit. They are locked in one order, and after all
else that a commit waits for: so whoever has them waits for nobody, and no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskrun.adapters.stores.postgres.accounts import texts_of
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.domain.batch import RateTaken, TakeRate

#: A row that is there is locked by this too, although nothing about it changes.
_LOCK = """
    INSERT INTO rates (account, even)
    SELECT DISTINCT account, now() FROM unnest(%b::text[]) AS wanted (account) ORDER BY account
    ON CONFLICT (account) DO UPDATE SET even = rates.even WHERE false
"""
#: `ahead` are the seconds of its minute that an account has used up; never more, even if the clock was set back or the
#: figure was less before. A microsecond is what the arithmetic may make of it. Where less is granted than was wanted
#: somebody waits: the row of the one that does so for the longest is the answer.
_TAKE = """
    WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
    ), asked AS MATERIALIZED (
        SELECT number, account, now, 60.0 / figure AS part,
            least(60, greatest(0, extract(epoch FROM even - now))) AS ahead
        FROM unnest(%b::text[], %b::int8[]) WITH ORDINALITY AS wanted (account, figure, number)
        JOIN rates USING (account) CROSS JOIN clock
    ), answer AS MATERIALIZED (
        SELECT least(%b::int8, min(floor((60.000001 - ahead) / part)))::int8 AS granted FROM asked
    ), charged AS (
        UPDATE rates SET even = now + make_interval(secs => (ahead + granted * part)::float8)
        FROM asked CROSS JOIN answer WHERE rates.account = asked.account AND granted > 0
    )
    SELECT granted, number, (ahead + (granted + 1) * part - 60)::float8 AS wait FROM asked CROSS JOIN answer
    ORDER BY wait DESC, number LIMIT 1
"""
#: Who asks for one of them at this moment holds it, and is not waited for.
_TIDY = """
    DELETE FROM rates WHERE account IN (SELECT account FROM rates WHERE even < now() FOR UPDATE SKIP LOCKED)
"""


def prepared(asks: Sequence[TakeRate]) -> Statement:
    """What comes before all of these: their accounts may be the same, so all are locked at once."""
    return _LOCK, [list({text for ask in asks for text in texts_of(ask.accounts)})]


def asked(ask: TakeRate) -> Statement:
    """The question as a statement of a commit that has the accounts' rows to itself."""
    return _TAKE, [texts_of(ask.accounts), [figure for _, figure in ask.accounts], ask.wanted]


def answer(ask: TakeRate, rows: Sequence[tuple[Any, ...]]) -> RateTaken:
    """What its row says."""
    [(granted, number, wait)] = rows
    if granted == ask.wanted:
        return RateTaken(ask, granted)
    return RateTaken(ask, granted, ask.accounts[number - 1][0], wait)


async def tidy(connection: AsyncConnection) -> None:
    """Removes what says nothing any more."""
    await connection.execute(_TIDY)
