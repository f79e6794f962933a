"""What is written: a batch as one transaction, in two journeys to the server.

The first brings what is known of the batch's tasks, and locks them, and takes along new ones of which nothing can be
known; the second takes all other changes, all asks and the commit. All that is known is in the database: nothing in
memory could differ from it after a failure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from uuid import UUID

from taskrun.adapters.stores.batches import check_batch, without
from taskrun.adapters.stores.postgres import limited, owners, rates, reader, waiting
from taskrun.adapters.stores.postgres.asks import answer_of, is_limited, is_plain, statement_of
from taskrun.adapters.stores.postgres.changes import Changes, Row, Writing, lines_put, statuses
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.door import Door
from taskrun.adapters.stores.postgres.journey import Journeys, Rows, Statement
from taskrun.adapters.stores.postgres.keys import drop_keys, keep_keys
from taskrun.adapters.stores.postgres.turns import Places
from taskrun.domain.batch import (
    Answer,
    Ask,
    Batch,
    ClaimRuns,
    Disowned,
    RateTaken,
    Recovery,
    RelayCancel,
    TakeRate,
)
from taskrun.domain.errors import Overruled
from taskrun.domain.relayed import CollectMessage
from taskrun.domain.status import TaskStatus

#: Lines that are remembered.
_KNOWN = 10_000

#: Nobody takes over from this owner while it commits.
_ALIVE = "SELECT number FROM owners WHERE number = %b::int8 FOR KEY SHARE"
_BEFORE = """
    SELECT id, status, waits, owner, story_seq, cancel_wanted FROM tasks WHERE id = ANY(%b::text[])
    ORDER BY id FOR UPDATE
"""
#: The same, and the runs that workers have brought. They may be in others' batches.
_BEFORE_AND_BROUGHT = """
    SELECT id, status, waits, owner, story_seq, cancel_wanted FROM tasks
    WHERE id = ANY(%b::text[] || ARRAY(SELECT id FROM tasks WHERE worker_id = ANY(%b::text[]) AND status = 'RUNNING'))
    ORDER BY id FOR UPDATE
"""
_COUNTS = "SELECT name, sum(amount)::int8 FROM counts GROUP BY name"

#: Ends that a task which is cancelled does not have.
_OTHER_ENDS = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})

_BEGIN: Statement = ("BEGIN", [])
_COMMIT: Statement = ("COMMIT", [])


class Writer:
    """Applies batches. Raises `psycopg.Error`, or `StoreFailed` for a batch that it refuses; then nothing is stored."""

    def __init__(self, shard: int, lease: float) -> None:
        self._writing = Writing(0, shard, set())
        self._journeys: Journeys | None = None
        #: Limits count its runs: others may wait for their ends.
        self.limited = False
        #: What the last commit has done in the queues of full accounts.
        self.places = Places()
        #: Seconds.
        self.lease = lease

    @property
    def owner(self) -> int:
        """The number under which it has what it has; 0 before it begins."""
        return self._writing.owner

    async def commit(self, connection: AsyncConnection, batch: Batch) -> Sequence[Answer]:
        """See `Store.commit`."""
        journeys = await self._journeys_on(connection)
        owner, changes = self.owner, Changes(batch, self._writing)
        touched = (batch.tasks.keys() | batch.story.keys()) - changes.ahead.keys()
        kept, counted, paced = list(keep_keys(batch, owner)), waiting.prepared(batch), rates.prepared(batch)
        groups = [[_BEGIN, (_ALIVE, [owner]), _locked(touched, batch.asks)], kept, counted, paced]
        known = iter(await journeys.make(chain(*groups, changes.first()), changes.prepare))
        (_, alive, found), made, rooms, paces = (list(islice(known, len(group))) for group in groups)
        if not alive:
            raise owners.lease_lost()
        rows = _rows(found)
        disowned = [each for each, row in rows.items() if each in touched and row.owner not in (None, owner)]
        disowned += [task_id for theirs in made for (task_id,) in theirs]
        door = Door(waiting.Rooms(rooms), rates.Rates(paces))
        ours = without(batch, set(disowned))
        turned_away = door.turned_away(ours)
        strangers = [task for each in turned_away for task in each.tasks]
        ours = without(ours, {task.id for task in strangers})
        _must_not_be_overruled(ours, rows)
        check_batch(ours, statuses(rows))
        taken = [door.take(ask) for ask in batch.asks if type(ask) is TakeRate]
        changed = chain(drop_keys(strangers), door.charged(), changes.rest(ours, rows))
        told = await self._put(journeys, changed, ours, iter(taken))
        self.limited = self.limited or bool(ours.running or ours.counted) or any(map(is_limited, batch.asks))
        self._remember(lines_put(ours))
        return [*turned_away, *told, *([Disowned(tuple(disowned))] if disowned else [])]

    async def recover(self, connection: AsyncConnection) -> tuple[Recovery, bool]:
        """See `Store.recover`; and whether there are others. What it says under its last number is refused from now on,
        should any of that be on its way."""
        async with connection.transaction():
            number = await owners.register(connection, self.lease)
            running = await owners.take_over(connection, number, self._writing.shard, self.owner)
            cursor = await connection.execute(_COUNTS)
            counts: dict[str, int] = dict(await cursor.fetchall())
            backlog = await reader.backlog(connection)
            expires_at_ms = await reader.next_expiry(connection)
            others = await owners.others(connection, number)
        self._begin(number)
        by_status = {status: counts.get(status.value, 0) for status in TaskStatus}
        return Recovery(running, backlog, by_status, expires_at_ms), others

    async def _put(
        self, journeys: Journeys, changed: Iterable[Statement], ours: Batch, taken: Iterator[RateTaken]
    ) -> list[Answer]:
        """Makes the changes, answers the asks, and commits; what was `taken` of rates is told with that. One journey
        more if new tasks begin under limits, or claims are counted together: what becomes of one rests on the others,
        and is decided here. Raises `Overbooked`.

        Every control plane locks in this order: tasks and keys, to have to itself the accounts in which new tasks wait
        and those of rates, lines and counts, what else is asked for; at last, to have to itself, the accounts in which
        tasks begin. After that a commit waits for nobody who may wait for it: claims pass over what others hold.
        """
        limits = [ask for ask in ours.asks if is_limited(ask)]
        claims = limited.Claims(ours, limits, self.owner, self._writing.shard)
        others = [statement_of(ask, self.owner, self._writing.shard) for ask in ours.asks if is_plain(ask)]
        asked, at_once = [*others, *claims.first()], claims.simple
        rows = await journeys.make(chain(changed, asked, [_COMMIT] if at_once else []))
        answered = rows[-len(asked) - at_once : len(rows) - at_once]
        answers = answered[: len(others)]
        claims.hear(answered[len(others) :])
        while again := claims.again():
            claims.hear_again(await journeys.make(again))
        if not at_once:
            await journeys.make([*claims.noted(), _COMMIT])
        self.places = claims.places()
        return list(_in_order(ours.asks, iter(answers), claims.answers(), taken))

    async def _journeys_on(self, connection: AsyncConnection) -> Journeys:
        """Who never recovered begins now. A new connection is no reason: what it had is its own until it recovers."""
        if self._journeys is None or self._journeys.connection is not connection:
            if not self.owner:
                self._begin(await owners.register(connection, self.lease))
            self._journeys = Journeys(connection)
        return self._journeys

    def _begin(self, number: int) -> None:
        self._writing = Writing(number, self._writing.shard, set())

    def _remember(self, lines: set[UUID]) -> None:
        known = self._writing.known
        if len(known) > _KNOWN:
            known.clear()
        known |= lines


def _locked(touched: Collection[str], asks: Sequence[Ask]) -> Statement:
    """All tasks of which something is said or wanted that others may be about to change."""
    asked_of = {ask.task_id for ask in asks if isinstance(ask, RelayCancel | CollectMessage)}
    wanted = [*asked_of.union(touched)]
    workers = [ask.worker_id for ask in asks if isinstance(ask, ClaimRuns)]
    return (_BEFORE_AND_BROUGHT, [wanted, workers]) if workers else (_BEFORE, [wanted])


def _rows(found: Rows) -> Mapping[str, Row]:
    return {task_id: Row(TaskStatus(status), *others) for task_id, status, *others in found}


def _must_not_be_overruled(batch: Batch, rows: Mapping[str, Row]) -> None:
    """Raises `Overruled`."""
    wanted = [task_id for task_id, row in rows.items() if row.cancel_wanted and task_id in batch.tasks]
    if overruled := [task_id for task_id in wanted if batch.tasks[task_id].status in _OTHER_ENDS]:
        raise Overruled(tuple(overruled))


def _in_order(
    asks: Sequence[Ask], rows: Iterator[Rows], claimed: Iterator[Answer], taken: Iterator[Answer]
) -> Iterator[Answer]:
    """The answers, each from those of its kind."""
    for ask in asks:
        if is_plain(ask):
            yield answer_of(ask, next(rows))
        else:
            yield next(claimed if is_limited(ask) else taken)
