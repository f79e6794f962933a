"""New tasks under a limit on how many of an account wait, which holds for all control planes on the database.

What waits is counted for each line anyway; an account has what its lines have. Who puts new tasks into the queue under
such a limit holds the account's row until its commit, so that no two fill one place. Who takes tasks out waits for
nobody: that makes room.

An account may have many lines, so they are not counted each time: its row says that no more than so many wait, and only
when that leaves too little room, or is old, it is counted what does. Nobody is turned away by anything but a count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from taskrun.adapters.stores.postgres.accounts import text_of, texts_of
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Rows, Statement
from taskrun.domain.batch import Answer, Ask, Batch, RateTaken, TakeRate, TurnedAway
from taskrun.domain.quotas import AccountName, Figures
from taskrun.domain.records import Task

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
    """What comes before all else that is decided about new tasks; the rows of the last are for `Rooms`.

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

    def __init__(self, counted: Rows) -> None:
        self._waiting: dict[str, int] = dict(counted)

    def turned_away(self, batch: Batch) -> list[TurnedAway]:
        """Those of the batch's new tasks that are too many. Who comes first is let in first."""
        late: dict[tuple[AccountName, int], list[Task]] = {}
        for task_id, figures in batch.waiting.items():
            if task_id in batch.tasks:
                left, place = self._tightest(figures)
                if left > 0:
                    self._let_in(figures)
                else:
                    late.setdefault(figures[place], []).append(batch.tasks[task_id])
        return [TurnedAway(tuple(tasks), *full, self._waiting[text_of(full[0])]) for full, tasks in late.items()]

    def narrowed(self, ask: Ask) -> Ask:
        """The ask, for no more than may wait. Nobody's room is kept for it: what is granted may come to nothing."""
        if not isinstance(ask, TakeRate) or not ask.waiting:
            return ask
        left, _ = self._tightest(ask.waiting)
        return replace(ask, wanted=max(0, min(ask.wanted, left)))

    def widened(self, ask: Ask, answer: Answer) -> Answer:
        """The answer to the ask as it was before that."""
        if not isinstance(ask, TakeRate) or not isinstance(answer, RateTaken) or answer.ask is ask:
            return answer
        if answer.full is not None or answer.granted == ask.wanted:
            return replace(answer, ask=ask)
        account, _ = ask.waiting[self._tightest(ask.waiting)[1]]
        # Those of the same ask that were granted come first: who is left finds them there, too.
        return replace(answer, ask=ask, full=account, waiting=self._waiting[text_of(account)] + answer.granted)

    def _tightest(self, figures: Figures) -> tuple[int, int]:
        """The least that one of these accounts has left, and which that is."""
        return min((most - self._waiting[text_of(account)], place) for place, (account, most) in enumerate(figures))

    def _let_in(self, figures: Figures) -> None:
        for text in texts_of(figures):
            self._waiting[text] += 1
