"""A batch's changes as statements: every one writes many rows, given as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from taskrun.adapters.stores.batches import count_changes
from taskrun.adapters.stores.postgres.accounts import accounts_of
from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.adapters.stores.postgres.lines import line_of
from taskrun.adapters.stores.rows import birth_of, entries_json, pairs_json, state_of
from taskrun.domain.batch import Batch
from taskrun.domain.records import Requirement, Task
from taskrun.domain.status import TaskStatus

#: About what a task takes beside its birth and its story.
TASK_BYTES = 2000
#: The name under which what all tasks take is counted; the others are statuses.
BYTES = "bytes"

# Columns hold no NULL on their way: a list of nothing else would have no type. -1 stands for it, where it cannot be
# meant.
_CREATE = """
    INSERT INTO tasks (id, status, agent, line, rank, since, expires_at, holder, owner, waits, worker_id, finished_at,
        story_seq, birth, state)
    SELECT id, status, agent, line, rank, since, nullif(expires_at, 0), nullif(holder, ''),
        CASE status WHEN 'PENDING' THEN NULL ELSE %b::int8 END, status = 'PENDING', nullif(worker_id, ''),
        nullif(finished_at, -1), nullif(story_seq, -1), birth, state
    FROM unnest(%b::text[], %b::text[], %b::text[], %b::uuid[], %b::int8[], %b::int8[], %b::int8[], %b::text[],
        %b::text[], %b::int8[], %b::int8[], %b::text[], %b::text[])
        AS new (id, status, agent, line, rank, since, expires_at, holder, worker_id, finished_at, story_seq, birth,
            state)
"""
_SAVE = """
    UPDATE tasks SET status = new.status, since = new.since, expires_at = nullif(new.expires_at, 0), owner = %b::int8,
        waits = new.status = 'PENDING', worker_id = nullif(new.worker_id, ''),
        finished_at = nullif(new.finished_at, -1), story_seq = nullif(new.story_seq, -1), state = new.state
    FROM unnest(%b::text[], %b::text[], %b::int8[], %b::int8[], %b::text[], %b::int8[], %b::int8[], %b::text[])
        AS new (id, status, since, expires_at, worker_id, finished_at, story_seq, state)
    WHERE tasks.id = new.id
"""
_GO_ON = """
    UPDATE tasks SET story_seq = new.story_seq FROM unnest(%b::text[], %b::int8[]) AS new (id, story_seq)
    WHERE tasks.id = new.id
"""
_TELL = """
    INSERT INTO story (task_id, seq, next_seq, entries)
    SELECT * FROM unnest(%b::text[], %b::int8[], %b::int8[], %b::text[])
"""
_KNOW = """
    INSERT INTO requirements (line, agent, selector, share)
    SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[]) AS new (line) ORDER BY line
    ON CONFLICT DO NOTHING
"""
_COUNT_TOGETHER = """
    INSERT INTO accounts (account, line)
    SELECT * FROM unnest(%b::text[], %b::uuid[]) AS new (account, line) ORDER BY account, line
    ON CONFLICT DO NOTHING
"""
_COUNT_WAITING = """
    INSERT INTO waiting (line, shard, amount) SELECT line, %b::int8, more FROM unnest(%b::uuid[], %b::int8[])
        AS new (line, more) ORDER BY line
    ON CONFLICT (line, shard) DO UPDATE SET amount = waiting.amount + excluded.amount
"""
_COUNT = """
    INSERT INTO counts (name, shard, amount) SELECT name, %b::int8, more FROM unnest(%b::text[], %b::int8[])
        AS new (name, more) ORDER BY name
    ON CONFLICT (name, shard) DO UPDATE SET amount = counts.amount + excluded.amount
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What the database holds of a task that is in a batch."""

    status: TaskStatus
    #: It is in the queue.
    waits: bool
    #: Who has claimed it, has its run, or ended it; while it waits who had it last, if that one may not know it yet.
    owner: int | None
    #: The number that its story goes on with.
    story_seq: int | None
    #: Somebody was told that it is cancelled.
    cancel_wanted: bool


@dataclass(frozen=True, slots=True)
class Writing:
    """Who writes, and what is known to be there."""

    owner: int
    #: The row of each count that is the writer's own.
    shard: int
    #: Lines whose requirements are stored.
    known: set[UUID]


class Changes:
    """All that a batch changes, in two parts: new tasks of which the database can know nothing are written while it is
    asked for what it knows of the others."""

    def __init__(self, batch: Batch, writing: Writing) -> None:
        self._batch, self._writing = batch, writing
        #: The tasks that can be written at once.
        self.ahead = {task.id: task for task in batch.tasks.values() if _begins(task, batch)}
        self._states: Mapping[str, bytes] = {}
        self._stories: Mapping[str, bytes] = {}
        #: Bytes that are stored.
        self._size = 0

    def first(self) -> Iterator[Statement]:
        """What needs no answer."""
        if self.ahead:
            tasks, story = self.ahead.values(), self._batch.story
            yield self._create(tasks, [story[task.id][-1].next_seq for task in tasks], map(state_of, tasks))

    def prepare(self) -> None:
        """Writes down what the second part needs, whatever the answers will be."""
        tasks, story = self._batch.tasks, self._batch.story
        self._states = {task_id: state_of(task) for task_id, task in tasks.items() if task_id not in self.ahead}
        self._stories = {task_id: entries_json(entries) for task_id, entries in story.items() if entries}

    def rest(self, batch: Batch, rows: Mapping[str, Row]) -> Iterator[Statement]:
        """All else. `batch` may lack some that were not written at once; `rows` has what there is of the others, and it
        must fit."""
        tasks = [task for task in batch.tasks.values() if task.id not in self.ahead]
        new = [task for task in tasks if task.id not in rows]
        old = [task for task in tasks if task.id in rows]
        story = {task_id: batch.story[task_id] for task_id in self._stories if task_id in batch.story}

        def story_seq(task_id: str) -> int:
            if task_id in story:
                return story[task_id][-1].next_seq
            seq = rows[task_id].story_seq if task_id in rows else None
            return -1 if seq is None else seq

        if new:
            yield self._create(new, [story_seq(task.id) for task in new], [self._states[task.id] for task in new])
        if old:
            yield (
                _SAVE,
                [
                    self._writing.owner,
                    [task.id for task in old],
                    [task.status.value for task in old],
                    [task.waits_since_ms for task in old],
                    [task.expires_at_ms for task in old],
                    [_worker(task) for task in old],
                    [_end(task) for task in old],
                    [story_seq(task.id) for task in old],
                    [self._states[task.id] for task in old],
                ],
            )
        if others := [task_id for task_id in story if task_id not in batch.tasks]:
            yield _GO_ON, [others, [story_seq(task_id) for task_id in others]]
        if story:
            told = [self._stories[task_id] for task_id in story]
            self._size += sum(map(len, told))
            yield (
                _TELL,
                [
                    list(story),
                    [entries[0].seq for entries in story.values()],
                    [entries[-1].next_seq for entries in story.values()],
                    told,
                ],
            )
        yield from _queue(batch, rows, self._writing)
        counts = {
            status.value: more for status, more in count_changes(batch.tasks.values(), statuses(rows)).items() if more
        }
        if self._size:
            counts[BYTES] = self._size
        if counts:
            yield _COUNT, [self._writing.shard, list(counts), list(counts.values())]

    def _create(self, tasks: Collection[Task], story_seqs: Sequence[int], states: Iterable[bytes]) -> Statement:
        births = [birth_of(task) for task in tasks]
        self._size += sum(map(len, births)) + TASK_BYTES * len(tasks)
        return (
            _CREATE,
            [
                self._writing.owner,
                [task.id for task in tasks],
                [task.status.value for task in tasks],
                [task.spec.agent for task in tasks],
                [line_of(task.requirement) for task in tasks],
                [task.rank for task in tasks],
                [task.waits_since_ms for task in tasks],
                [task.expires_at_ms for task in tasks],
                [task.spec.holder for task in tasks],
                [_worker(task) for task in tasks],
                [_end(task) for task in tasks],
                story_seqs,
                births,
                list(states),
            ],
        )


def _begins(task: Task, batch: Batch) -> bool:
    """It is new, no other can have made one with its key, and no limit can turn it away."""
    story = batch.story.get(task.id)
    if not story or story[0].seq:
        return False
    return not (task.spec.idempotency_key or task.id in batch.waiting or task.id in batch.rates)


def lines_put(batch: Batch) -> set[UUID]:
    """The lines that the batch's tasks come to stand in."""
    return {line_of(task.requirement) for task in batch.tasks.values() if task.status is TaskStatus.PENDING}


class _Statuses(dict[str, tuple[TaskStatus | None, int | None]]):
    def __missing__(self, task_id: str) -> tuple[None, None]:
        return (None, None)


def statuses(rows: Mapping[str, Row]) -> Mapping[str, tuple[TaskStatus | None, int | None]]:
    """The rows as `Before`; who has none is in it too."""
    return _Statuses({task_id: (row.status, row.story_seq) for task_id, row in rows.items()})


def _queue(batch: Batch, rows: Mapping[str, Row], writing: Writing) -> Iterator[Statement]:
    """How many more wait in each line, and the requirements of lines that are new."""
    more = Counter[Requirement]()
    for task in batch.tasks.values():
        row = rows.get(task.id)
        if change := (task.status is TaskStatus.PENDING) - (row is not None and row.waits):
            more[task.requirement] += change
    unknown = [needs for needs in more if line_of(needs) not in writing.known]
    if unknown and (wanted := lines_put(batch)):
        unknown = [needs for needs in unknown if line_of(needs) in wanted]
        if unknown:
            yield (
                _KNOW,
                [
                    [line_of(needs) for needs in unknown],
                    [needs.agent for needs in unknown],
                    [pairs_json(needs.selector) for needs in unknown],
                    [pairs_json(needs.share) for needs in unknown],
                ],
            )
            named = [(account, line_of(needs)) for needs in unknown for account in accounts_of(needs)]
            yield _COUNT_TOGETHER, [[account for account, _ in named], [line for _, line in named]]
    changed = {line_of(needs): count for needs, count in more.items() if count}
    if changed:
        yield _COUNT_WAITING, [writing.shard, list(changed), list(changed.values())]


def _worker(task: Task) -> str:
    """Who has its run."""
    return task.runs[-1].worker_id if task.status is TaskStatus.RUNNING and task.runs else ""


def _end(task: Task) -> int:
    return task.finished_at_ms if task.status.is_terminal else -1
