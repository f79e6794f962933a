"""What is written: a batch as one transaction, in two journeys to the server.

The first brings what is known of the batch's tasks, and locks them, and takes along new ones of which nothing can be
known; the second takes all other changes, all asks and the commit. All that is known is in the database: nothing in
memory could differ from it after a failure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TypeGuard
from uuid import UUID

from taskrun.adapters.stores.batches import check_batch, without
from taskrun.adapters.stores.postgres import limited, messages, owners, rates, reader, waiting
from taskrun.adapters.stores.postgres.changes import Changes, Row, Writing, lines_put, statuses
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.door import Door
from taskrun.adapters.stores.postgres.journey import Journeys, Rows, Statement
from taskrun.adapters.stores.postgres.keys import drop_keys, keep_keys
from taskrun.adapters.stores.postgres.lines import line_of
from taskrun.adapters.stores.postgres.turns import Places
from taskrun.adapters.stores.rows import task_of
from taskrun.domain.batch import (
    Answer,
    Ask,
    Batch,
    CancelRelayed,
    ClaimExpired,
    ClaimNext,
    ClaimRuns,
    ClaimStranded,
    ClaimTask,
    Disowned,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    RateTaken,
    Recovery,
    RelayCancel,
    RunsClaimed,
    StrandedClaimed,
    TakeRate,
    TaskClaimed,
    TasksClaimed,
)
from taskrun.domain.errors import Overruled
from taskrun.domain.relayed import CollectMessage, MessageAsk
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
#: What others are claiming at this moment is passed over.
_CLAIM_NEXT = """
    WITH head AS MATERIALIZED (
        SELECT first.id FROM unnest(%b::uuid[]) AS wanted (line) CROSS JOIN LATERAL (
            SELECT id, rank FROM tasks
            WHERE line = wanted.line AND waits
            ORDER BY rank, id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
        ) AS first ORDER BY first.rank, first.id LIMIT %b::int8
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, rank, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    )
    SELECT id, birth, state FROM taken ORDER BY rank, id
"""
#: One that another is claiming at this moment is another's.
_CLAIM_TASK = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE id = %b::text AND waits FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id RETURNING line
    ), counted AS (
        INSERT INTO waiting (line, shard, amount) SELECT line, %b::int8, -1 FROM taken
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    ), resting AS (
        DELETE FROM running WHERE task_id IN (SELECT id FROM head)
    )
    SELECT id, birth, state, EXISTS (SELECT FROM taken),
        finished_at IS NULL AND (waits OR owner <> %b::int8) AND NOT EXISTS (SELECT FROM taken)
    FROM tasks WHERE id = %b::text
"""
#: The last column is when the next one has waited long enough: if no task is taken there is a row with that alone.
_CLAIM_EXPIRED = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE waits AND expires_at <= %b::int8
        ORDER BY expires_at, id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, expires_at, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    ), rest AS (
        SELECT coalesce(min(expires_at), 0) AS next FROM (
            SELECT expires_at FROM tasks
            WHERE waits AND expires_at IS NOT NULL AND id NOT IN (SELECT id FROM head)
            ORDER BY expires_at, id LIMIT 1
        ) AS first
    )
    SELECT id, birth, state, next FROM rest LEFT JOIN taken ON true ORDER BY expires_at, id
"""
_CLAIM_STRANDED = """
    WITH head AS MATERIALIZED (
        SELECT id FROM tasks WHERE waits AND holder = %b::text ORDER BY id LIMIT %b::int8 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks SET owner = %b::int8, waits = false FROM head WHERE tasks.id = head.id
        RETURNING tasks.id, line, birth, state
    ), counted AS (
        INSERT INTO waiting (line, shard, amount)
        SELECT line, %b::int8, -count(*) FROM taken GROUP BY line ORDER BY line
        ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
    )
    SELECT id, birth, state FROM taken ORDER BY id
"""
_FIND_KEY = """
    SELECT id, birth, state FROM keys JOIN tasks ON id = task_id
    WHERE caller = %b::text AND key = %b::text AND made_at >= %b::int8
"""
#: What another writes of them at this moment is waited for: it is a part of what the worker goes on from.
_CLAIM_RUNS = """
    WITH brought AS MATERIALIZED (
        SELECT id, birth, state, owner FROM tasks WHERE worker_id = %b::text AND status = 'RUNNING'
        ORDER BY id FOR UPDATE
    ), taken AS (
        UPDATE tasks SET owner = %b::int8 FROM brought WHERE tasks.id = brought.id AND brought.owner <> %b::int8
    )
    SELECT id, birth, state, owner = %b::int8 FROM brought
"""
#: Its row is locked with those of the batch: whoever ends the task was before this, or sees it.
_RELAY_CANCEL = """
    WITH wanted AS (
        UPDATE tasks SET cancel_wanted = true WHERE id = %b::text AND finished_at IS NULL AND NOT cancel_wanted
    )
    SELECT id, birth, state FROM tasks WHERE id = %b::text
"""
_COUNTS = "SELECT name, sum(amount)::int8 FROM counts GROUP BY name"

#: Ends that a task which is cancelled does not have.
_OTHER_ENDS = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})

#: What is asked by a statement of its own.
_Plain = ClaimNext | ClaimTask | ClaimExpired | ClaimStranded | FindKey | ClaimRuns | RelayCancel | MessageAsk

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
        self.limited = self.limited or bool(ours.running or ours.counted) or any(map(_is_limited, batch.asks))
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
        limits = [ask for ask in ours.asks if _is_limited(ask)]
        claims = limited.Claims(ours, limits, self.owner, self._writing.shard)
        others = [self._asked(ask) for ask in ours.asks if _is_plain(ask)]
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

    def _asked(self, ask: _Plain) -> Statement:
        owner, shard = self._writing.owner, self._writing.shard
        match ask:
            case ClaimNext():
                lines = list({line_of(needs) for needs in ask.requirements})
                return _CLAIM_NEXT, [lines, ask.limit, ask.limit, owner, shard]
            case ClaimTask():
                return _CLAIM_TASK, [ask.task_id, owner, shard, owner, ask.task_id]
            case ClaimExpired():
                return _CLAIM_EXPIRED, [ask.until_ms, ask.limit, owner, shard]
            case ClaimStranded():
                return _CLAIM_STRANDED, [ask.worker_id, ask.limit, owner, shard]
            case FindKey():
                return _FIND_KEY, [ask.caller, ask.key, ask.since_ms]
            case ClaimRuns():
                return _CLAIM_RUNS, [ask.worker_id, owner, owner, owner]
            case RelayCancel():
                return _RELAY_CANCEL, [ask.task_id, ask.task_id]
            case _:
                return messages.asked(ask, owner)

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


def _is_limited(ask: Ask) -> TypeGuard[ClaimNext]:
    return type(ask) is ClaimNext and bool(ask.limits)


def _is_plain(ask: Ask) -> TypeGuard[_Plain]:
    return type(ask) is not TakeRate and not _is_limited(ask)


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
        if _is_plain(ask):
            yield _answer(ask, next(rows))
        else:
            yield next(claimed if _is_limited(ask) else taken)


def _answer(ask: _Plain, rows: Sequence[tuple[Any, ...]]) -> Answer:
    match ask:
        case ClaimNext():
            return TasksClaimed(ask, tuple([task_of(*row) for row in rows]))
        case ClaimTask():
            [(*task, owned, elsewhere)] = rows or [(None, False, False)]
            return TaskClaimed(ask, task_of(*task) if rows else None, owned, elsewhere)
        case ClaimExpired():
            tasks = tuple([task_of(*row[:3]) for row in rows if row[0] is not None])
            return ExpiredClaimed(ask, tasks, rows[0][3])
        case ClaimStranded():
            return StrandedClaimed(ask, tuple([task_of(*row) for row in rows]))
        case FindKey():
            return KeyFound(ask, task_of(*rows[0]) if rows else None)
        case ClaimRuns():
            own = frozenset(task_id for task_id, *_, was_own in rows if was_own)
            return RunsClaimed(ask, tuple([task_of(*row[:3]) for row in rows]), own)
        case RelayCancel():
            return CancelRelayed(ask, task_of(*rows[0]) if rows else None)
        case _:
            return messages.answer(ask, rows)
