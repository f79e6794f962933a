"""Rates of new tasks, which hold for all control planes on the database: the generic cell rate algorithm (ITU-T I.371),
by the server's clock.

What a commit makes and asks for is decided here, one task after the other, and written at once. Who does so holds the
rows of all accounts from when they are read until the commit, so that no two use up the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taskrun.adapters.stores.postgres.accounts import text_of, texts_of
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Rows, Statement
from taskrun.domain.batch import Batch, RateTaken, TakeRate
from taskrun.domain.quotas import AccountName, Figures

#: Microseconds.
_MINUTE = 60_000_000
#: What the arithmetic may make of none.
_NOTHING = 1

#: In one order, so that no two wait for each other. A row that is there is locked by this too, although nothing about
#: it changes.
_LOCK = """
    INSERT INTO rates (account, even)
    SELECT account, now() FROM unnest(%b::text[]) AS wanted (account) ORDER BY account
    ON CONFLICT (account) DO UPDATE SET even = rates.even WHERE false
"""
#: Until when each has used up what it was given, and the time; microseconds, since 1970.
_READ = """
    SELECT account, (extract(epoch FROM even) * 1000000)::int8, (extract(epoch FROM now) * 1000000)::int8
    FROM rates CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS clock WHERE account = ANY(%b::text[])
"""
# Looked up one by one, and changed where they were found, as in `crews`.
_CHARGE = """
    UPDATE rates SET even = 'epoch'::timestamptz + new.even * interval '1 microsecond'
    FROM unnest(%b::text[], %b::int8[]) AS new (account, even) CROSS JOIN LATERAL (
        SELECT ctid AS place FROM rates AS known WHERE known.account = new.account OFFSET 0
    ) AS found WHERE rates.ctid = place
"""
#: Who asks for one of them at this moment holds it, and is not waited for.
_TIDY = """
    DELETE FROM rates WHERE account IN (SELECT account FROM rates WHERE even < now() FOR UPDATE SKIP LOCKED)
"""


def prepared(batch: Batch) -> list[Statement]:
    """What has the accounts to itself and reads them; what it brings is for `Rates`.

    All are locked at once, in one order: those of one task may be another's.
    """
    figures = {*batch.rates.values(), *(ask.accounts for ask in batch.asks if isinstance(ask, TakeRate))}
    accounts = list({text for each in figures for text in texts_of(each)})
    return [(_LOCK, [accounts]), (_READ, [accounts])] if accounts else []


async def tidy(connection: AsyncConnection) -> None:
    """Removes what says nothing any more."""
    await connection.execute(_TIDY)


@dataclass(slots=True)
class _Pace:
    """How an account stands."""

    #: How much of its minute is used up. Never more than all, even if the clock was set back or the figure was less
    #: before. Microseconds, as is the time.
    ahead: float
    now: int


class Rates:
    """What is left of each account's, counted down with everyone who is let in."""

    def __init__(self, read: Sequence[Rows]) -> None:
        """What `prepared` has brought."""
        rows = read[-1] if read else []
        self._paces = {account: _Pace(min(_MINUTE, max(0, even - now)), now) for account, even, now in rows}
        self._charged: dict[str, None] = {}

    def left(self, figures: Figures) -> int:
        """How many new tasks all of these accounts may have now."""
        return min(int((_MINUTE + _NOTHING - pace.ahead) / part) for pace, part in self._each(figures))

    def use(self, figures: Figures, count: int) -> None:
        """Each of them has so many more."""
        for pace, part in self._each(figures):
            pace.ahead += count * part
        self._charged |= dict.fromkeys(texts_of(figures))

    def longest(self, figures: Figures) -> tuple[AccountName, int, float]:
        """For whom it is too early: the account that has its next the latest, its figure, and seconds until then."""
        waits = [pace.ahead + part - _MINUTE for pace, part in self._each(figures)]
        place = waits.index(max(waits))
        return (*figures[place], waits[place] / 1e6)

    def take(self, ask: TakeRate) -> RateTaken:
        """As many as all of its accounts have left."""
        granted = min(ask.wanted, self.left(ask.accounts))
        if granted:
            self.use(ask.accounts, granted)
        if granted == ask.wanted:
            return RateTaken(ask, granted)
        account, _, wait = self.longest(ask.accounts)
        return RateTaken(ask, granted, account, wait)

    def charged(self) -> list[Statement]:
        """What is used up of them, if anything."""
        paces = [self._paces[account] for account in self._charged]
        even = [pace.now + round(pace.ahead) for pace in paces]
        return [(_CHARGE, [list(self._charged), even])] if even else []

    def _each(self, figures: Figures) -> Iterable[tuple[_Pace, float]]:
        """Each account's, with how much one new task is."""
        return ((self._paces[text_of(account)], _MINUTE / figure) for account, figure in figures)
