"""New tasks under a limit on how many of an account wait, which holds for all control planes on the database.

What waits is counted for each line anyway; an account has what its lines have. Who puts new tasks into the queue under
such a limit holds the account's row until its commit, so that no two fill one place. Who takes tasks out waits for
nobody: that makes room.

An account may have many lines, so they are not counted each time: its row says that no more than so many wait, and only
when that leaves too little room, or is old, it is counted what does. Nobody is turned away by anything but a count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from taskrun.adapters.stores.postgres.accounts import text_of, texts_of
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Rows, Statement
from taskrun.domain.batch import Batch, TakeRate
from taskrun.domain.quotas import AccountName, Figures

#: In one order, so that no two wait for each other. A row that is there is locked by this too, although nothing about
#: it changes.
_LOCK = """
    INSERT INTO crowds (account, most, counted)
    SELECT account, 0, '-infinity' FROM unnest(%b::text[]) AS wanted (account) ORDER BY account
    ON CONFLICT (account) DO UPDATE SET most = 0 WHERE false
"""
#: How many wait of each account: as its row says, if that leaves room for `more` and was counted in the last five
#: seconds, else as is counted now. The row says from then on that these may wait, too. So for five seconds it may not
#: show what waits again after a run, or was let in where there is no such limit.
_COUNT = """
    WITH known AS MATERIALIZED (
        SELECT account, more, CASE
            WHEN counted BETWEEN clock_timestamp() - interval '5 s' AND clock_timestamp() AND most + more <= figure
            THEN most
        END AS most
        FROM unnest(%b::text[], %b::int8[], %b::int8[]) AS wanted (account, more, figure) JOIN crowds USING (account)
    ), found AS MATERIALIZED (
        SELECT account, more, most IS NULL AS anew, coalesce(most, (
            SELECT coalesce(sum(amount), 0)::int8 FROM accounts JOIN waiting USING (line)
            WHERE accounts.account = known.account
        )) AS most
        FROM known
    )
    UPDATE crowds SET most = found.most + more, counted = CASE WHEN anew THEN now() ELSE counted END
    FROM found WHERE crowds.account = found.account
    RETURNING crowds.account, found.most
"""
#: Who asks for one of them at this moment holds it, and is not waited for.
_TIDY = """
    DELETE FROM crowds WHERE account IN (
        SELECT account FROM crowds WHERE counted < now() - interval '5 s' FOR UPDATE SKIP LOCKED
    )
"""


def prepared(batch: Batch) -> list[Statement]:
    """What comes before all else that is decided about new tasks; what it brings is for `Rooms`.

    A statement sees what was committed before it began: so the lock is one, and the count another.
    """
    more, figure = Counter[str](), dict[str, int]()
    for figures, count in _wanted(batch):
        for account, most in figures:
            text = text_of(account)
            more[text] += count
            figure[text] = min(most, figure.get(text, most))
    accounts = list(more)
    return [(_LOCK, [accounts]), (_COUNT, [accounts, list(more.values()), list(figure.values())])] if more else []


async def tidy(connection: AsyncConnection) -> None:
    """Removes what says nothing any more."""
    await connection.execute(_TIDY)


def _wanted(batch: Batch) -> Iterator[tuple[Figures, int]]:
    """Under which limits how many would wait."""
    yield from ((figures, 1) for figures in batch.waiting.values())
    yield from ((ask.waiting, ask.wanted) for ask in batch.asks if isinstance(ask, TakeRate))


class Rooms:
    """How many wait of each account, or are said to where that leaves room; counted up with everyone who is let in."""

    def __init__(self, counted: Sequence[Rows]) -> None:
        """What `prepared` has brought."""
        self._waiting: dict[str, int] = dict(counted[-1]) if counted else {}

    def left(self, figures: Figures) -> int:
        """How many more may wait in all of these accounts."""
        return min(most - self._waiting[text_of(account)] for account, most in figures)

    def let_in(self, figures: Figures) -> None:
        """One more waits in each of them."""
        for text in texts_of(figures):
            self._waiting[text] += 1

    def fullest(self, figures: Figures) -> tuple[AccountName, int, int]:
        """The account that has the least left, its figure, and how many wait in it."""
        account, most = min(figures, key=lambda each: each[1] - self._waiting[text_of(each[0])])
        return account, most, self._waiting[text_of(account)]
