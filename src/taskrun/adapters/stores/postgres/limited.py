"""Tasks that begin under a limit on how many run at once, which holds for all control planes on the database: new ones
that are to run as they are stored, and those that are claimed.

New ones go first: the batch says that they run, so it is refused where they are too many. All claims of a commit are
one statement, in which each has what those before it leave if they get all that they want. Who is left too little by
that is asked for again where they got less, before the commit: so that who is told that an account is full, or the
queue dry, is told the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from taskrun.adapters.stores.postgres import crews
from taskrun.adapters.stores.postgres.accounts import text_of, texts_of
from taskrun.adapters.stores.postgres.journey import Rows, Statement
from taskrun.adapters.stores.postgres.lines import line_of
from taskrun.adapters.stores.postgres.turns import Places
from taskrun.adapters.stores.rows import task_of
from taskrun.domain.batch import Batch, ClaimNext, TasksClaimed
from taskrun.domain.errors import Overbooked
from taskrun.domain.quotas import AccountName, Figures
from taskrun.domain.records import Requirement, Task

_encode = msgspec.json.Encoder().encode

#: A claim is a row: its accounts, what their rows may say at most before it gets nothing, its lines, and how many it
#: wants. No two have a line in common: both would find the same tasks at its head.
_CLAIM = """
    WITH claims AS MATERIALIZED (
        SELECT number, accounts, lines, (
            SELECT greatest(0, least(wanted, min(figure - most)))
            FROM ROWS FROM (json_array_elements_text(accounts::json), unnest(figures::int8[])) AS each (account, figure)
                JOIN crews USING (account)
        ) AS room
        FROM unnest(%b::int8[], %b::text[], %b::text[], %b::text[], %b::int8[])
            AS asked (number, accounts, figures, lines, wanted)
    ), head AS MATERIALIZED (
        SELECT number, accounts, first.id FROM claims CROSS JOIN LATERAL (
            SELECT next.id FROM unnest(lines::uuid[]) AS named (line) CROSS JOIN LATERAL (
                SELECT id, rank FROM tasks
                WHERE line = named.line AND waits
                ORDER BY rank, id LIMIT room FOR UPDATE SKIP LOCKED
            ) AS next ORDER BY next.rank, next.id LIMIT room
        ) AS first
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING number, accounts, tasks.id, line, rank, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    ), noted AS (
        INSERT INTO running (account, task_id)
        SELECT account, id FROM taken CROSS JOIN LATERAL json_array_elements_text(accounts::json) AS named (account)
        ON CONFLICT DO NOTHING
    )
    SELECT number, id, birth, state FROM taken ORDER BY number, rank, id
"""


@dataclass(eq=False, slots=True)
class _Claim:
    """A claim, and what came of it."""

    ask: ClaimNext
    accounts: Sequence[str]
    #: Of each account, how many are not there for it: those before it want them, or all of them have them by now.
    gone: Sequence[int]
    tasks: list[Task] = field(default_factory=list)
    #: Nobody more waits.
    dry: bool = False

    @property
    def missing(self) -> int:
        """How many it wants and has not."""
        return self.ask.limit - len(self.tasks)

    def left(self, found: Mapping[str, int]) -> list[int]:
        """What each account leaves it, if so many ran before."""
        figures = zip(self.accounts, self.ask.limits, self.gone, strict=True)
        return [most - found[account] - gone for account, (_, most), gone in figures]


class Claims:
    """The limited claims of one commit, beside the new tasks that begin with it."""

    def __init__(self, batch: Batch, asks: Sequence[ClaimNext], owner: int, shard: int) -> None:
        """`asks` are those of the batch's that are limited."""
        self._begun, self._counted, self._owner, self._shard = batch.running, batch.counted, owner, shard
        self._claims: list[_Claim] = []
        #: By account: how many are wanted, what it may have at most, how many ran before, and how many are taken.
        self._more, self._figure = Counter[str](), dict[str, int]()
        self._found: Mapping[str, int] = {}
        #: Where others wait for room, too: what is left for them, and whether it was not theirs before.
        self._rests: Mapping[str, tuple[int, bool]] = {}
        self._taken = Counter[str]()
        for figures in self._begun.values():
            self._want(figures, 1)
        for ask in asks:
            self._add(ask)
        #: What is under way: a statement each.
        self._rounds = _apart(self._claims)

    def _add(self, ask: ClaimNext) -> None:
        accounts = texts_of(ask.limits)
        self._claims.append(_Claim(ask, accounts, [self._more[account] for account in accounts]))
        self._want(ask.limits, ask.limit)

    def _want(self, figures: Figures, count: int) -> None:
        for name, most in figures:
            account = text_of(name)
            self._more[account] += count
            self._figure[account] = min(most, self._figure.get(account, most))

    @property
    def simple(self) -> bool:
        """No two are counted together, so that nobody is left too little by others, and no new task may be too many."""
        return not self._begun and not any(any(claim.gone) for claim in self._claims)

    def first(self) -> list[Statement]:
        """What is to be asked."""
        if not (self._more or self._counted):
            return []
        counted = crews.counted(self._owner, self._more, self._figure, self._counted)
        return [*counted, *map(self._asked, self._rounds)]

    def hear(self, rows: Sequence[Rows]) -> None:
        """What that has brought. Raises `Overbooked`."""
        if rows:
            answers = len(rows) - len(self._rounds)
            found = rows[answers - 1]
            self._found = {account: most for account, most, _, _ in found}
            self._rests = {account: (rest, moved) for account, _, rest, moved in found if rest is not None}
            self._let_begin()
            self.hear_again(rows[answers:])

    def _let_begin(self) -> None:
        """Who comes first is let in first."""
        late = []
        for task_id, figures in self._begun.items():
            accounts = texts_of(figures)
            if all(
                self._found[account] + self._taken[account] < most
                for account, (_, most) in zip(accounts, figures, strict=True)
            ):
                self._taken.update(accounts)
            else:
                late.append(task_id)
        if late:
            raise Overbooked(tuple(late))

    def noted(self) -> list[Statement]:
        """Has it known that the new tasks run."""
        return crews.noted(self._begun) if self._begun else []

    def again(self) -> list[Statement]:
        """What is to be asked after that, if anything: for one that was left too little by others, who got less."""
        for claim in self._claims:
            claim.gone = [self._taken[account] for account in claim.accounts]
            if claim.missing and not claim.dry and min(claim.left(self._found)) > 0:
                self._rounds = [[claim]]
                return [self._asked([claim])]
        return []

    def hear_again(self, rows: Sequence[Rows]) -> None:
        """What that has brought."""
        for claims, taken in zip(self._rounds, rows, strict=True):
            tasks: dict[int, list[Task]] = {}
            for number, *row in taken:
                tasks.setdefault(number, []).append(task_of(*row))
            for number, claim in enumerate(claims):
                self._take(claim, tasks.get(number, []))

    def answers(self) -> Iterator[TasksClaimed]:
        """In the order of the asks."""
        return map(self._answer, self._claims)

    def places(self) -> Places:
        """What became of the queues, when all is answered: what it has not used is for others, too, and it waits where
        a claim got less than it asked for."""
        left = {account: self._figure[account] - found for account, found in self._found.items()}
        standing = {account for account, more in self._more.items() if left[account] < more}
        unwanted = standing.difference(*[self._short_of(claim) for claim in self._claims])
        passed_on = any(self._is_passed_on(account, left[account]) for account in self._rests)
        return Places(passed_on, unwanted)

    def _is_passed_on(self, account: str, left: int) -> bool:
        """Whether others who wait for room of it have some now, which they had not before this commit."""
        (rest, moved), taken = self._rests[account], self._taken[account]
        return (moved or taken > 0) and rest + max(0, min(left, self._more[account])) > taken

    def _asked(self, claims: Sequence[_Claim]) -> Statement:
        # By now the accounts' rows say that all may run that are wanted, beside those that did before.
        wanted = {account: -more for account, more in self._more.items()}
        return _CLAIM, [
            list(range(len(claims))),
            [_encode(claim.accounts).decode() for claim in claims],
            [_array(claim.left(wanted)) for claim in claims],
            [_array(map(line_of, claim.ask.requirements)) for claim in claims],
            [claim.missing for claim in claims],
            self._owner,
            self._shard,
        ]

    def _take(self, claim: _Claim, tasks: Sequence[Task]) -> None:
        claim.dry = len(tasks) < min(claim.missing, *claim.left(self._found))
        claim.tasks += tasks
        for account in claim.accounts:
            self._taken[account] += len(tasks)

    def _answer(self, claim: _Claim) -> TasksClaimed:
        """Who got all that it asked for, or all that there are, has no need to know who is full."""
        full: list[AccountName] = []
        if claim.missing and not claim.dry:
            left = zip(self._left(claim), claim.ask.limits, strict=True)
            full = [account for room, (account, _) in left if room < claim.ask.limit]
        return TasksClaimed(claim.ask, tuple(claim.tasks), tuple(full))

    def _short_of(self, claim: _Claim) -> list[str]:
        """The accounts because of which it got no more."""
        if not claim.missing or claim.dry:
            return []
        left = zip(self._left(claim), claim.accounts, strict=True)
        return [account for room, account in left if room <= len(claim.tasks)]

    def _left(self, claim: _Claim) -> list[int]:
        """What each account has left it, beside the other claims."""
        claim.gone = [self._taken[account] - len(claim.tasks) for account in claim.accounts]
        return claim.left(self._found)


def _apart(claims: Iterable[_Claim]) -> list[list[_Claim]]:
    """In groups, to be asked in their order: no two of one group have a line in common, and none passes another by."""
    groups: list[list[_Claim]] = []
    #: By line, the first group in which it is free.
    free: dict[Requirement, int] = {}
    for claim in claims:
        number = max((free.get(line, 0) for line in claim.ask.requirements), default=0)
        if number == len(groups):
            groups.append([])
        groups[number].append(claim)
        free |= dict.fromkeys(claim.ask.requirements, number + 1)
    return groups


def _array(elements: Iterable[object]) -> str:
    """A list of numbers or lines within a column of lists."""
    return f"{{{','.join(map(str, elements))}}}"
