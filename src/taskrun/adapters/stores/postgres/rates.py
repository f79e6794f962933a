"""Rates of new tasks, which hold for all control planes on the database: the generic cell rate algorithm (ITU-T I.371),
by the server's clock.

What a commit asks for is decided here, one ask after the other, and written at once. It holds the rows of all accounts
from when they are read. They are locked in one order, and after all else that a commit waits for: so whoever has them
waits for nobody, and no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.adapters.stores.postgres.accounts import texts_of
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Rows, Statement
from taskrun.domain.batch import RateTaken, TakeRate

#: Microseconds.
_MINUTE = 60_000_000
#: What the arithmetic may make of none.
_NOTHING = 1

#: A row that is there is locked by this too, although nothing about it changes.
_LOCK = """
    INSERT INTO rates (account, even)
    SELECT DISTINCT account, now() FROM unnest(%b::text[]) AS wanted (account) ORDER BY account
    ON CONFLICT (account) DO UPDATE SET even = rates.even WHERE false
"""
#: Until when each has used up what it was given, and the time; microseconds, since 1970.
_READ = """
    SELECT account, (extract(epoch FROM even) * 1000000)::int8, (extract(epoch FROM now) * 1000000)::int8
    FROM rates CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS clock WHERE account = ANY(%b::text[])
"""
_CHARGE = """
    UPDATE rates SET even = 'epoch'::timestamptz + new.even * interval '1 microsecond'
    FROM unnest(%b::text[], %b::int8[]) AS new (account, even) WHERE rates.account = new.account
"""
#: Who asks for one of them at this moment holds it, and is not waited for.
_TIDY = """
    DELETE FROM rates WHERE account IN (SELECT account FROM rates WHERE even < now() FOR UPDATE SKIP LOCKED)
"""


async def tidy(connection: AsyncConnection) -> None:
    """Removes what says nothing any more."""
    await connection.execute(_TIDY)


class Rates:
    """What is asked for in one commit: each gets what those before it leave."""

    def __init__(self, asks: Sequence[TakeRate]) -> None:
        self._asks = asks
        #: By account: how much of its minute is used up, and the time. Microseconds.
        self._ahead: dict[str, float] = {}
        self._now: dict[str, int] = {}
        self._charged: dict[str, None] = {}
        self._answers: list[RateTaken] = []

    def first(self) -> list[Statement]:
        """What has the accounts to itself and reads them. All are locked at once: they may be the same."""
        accounts = list({text for ask in self._asks for text in texts_of(ask.accounts)})
        return [(_LOCK, [accounts]), (_READ, [accounts])] if accounts else []

    def hear(self, rows: Sequence[Rows]) -> None:
        """What that has brought."""
        if rows:
            for account, even, now in rows[-1]:
                # Never more than a minute, even if the clock was set back or the figure was less before.
                self._ahead[account] = min(_MINUTE, max(0, even - now))
                self._now[account] = now
        self._answers = [self._grant(ask) for ask in self._asks]

    def charged(self) -> list[Statement]:
        """What is used up of them, if anything."""
        even = [self._now[account] + round(self._ahead[account]) for account in self._charged]
        return [(_CHARGE, [list(self._charged), even])] if even else []

    def answers(self) -> Sequence[RateTaken]:
        """In the order of the asks."""
        return self._answers

    def _grant(self, ask: TakeRate) -> RateTaken:
        """Where less is granted than was wanted somebody waits: the one that does so for the longest is named."""
        accounts = texts_of(ask.accounts)
        parts = [_MINUTE / figure for _, figure in ask.accounts]
        used = [self._ahead[account] for account in accounts]
        left = [int((_MINUTE + _NOTHING - ahead) / part) for ahead, part in zip(used, parts, strict=True)]
        granted = min(ask.wanted, *left)
        for account, part in zip(accounts, parts, strict=True):
            self._ahead[account] += granted * part
        if granted:
            self._charged |= dict.fromkeys(accounts)
        if granted == ask.wanted:
            return RateTaken(ask, granted)
        waits = [ahead + (granted + 1) * part - _MINUTE for ahead, part in zip(used, parts, strict=True)]
        longest = waits.index(max(waits))
        return RateTaken(ask, granted, ask.accounts[longest][0], waits[longest] / 1e6)
