"""What is written: a batch as one transaction. It runs in the writer's thread, and there is one writer a database.

All that is known is in the database: nothing in memory could differ from it after a failure. Counts of tasks by status
and of the queue are rows that change in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from taskrun.adapters.stores.batches import Before, check_batch, count_changes, newest_keys
from taskrun.adapters.stores.rows import birth_of, entries_json, state_of
from taskrun.adapters.stores.sqlite import reader
from taskrun.adapters.stores.sqlite.bulk import insert, json_list
from taskrun.adapters.stores.sqlite.connection import transaction
from taskrun.adapters.stores.sqlite.lines import Lines
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
from taskrun.domain.records import Task
from taskrun.domain.relayed import answer_alone
from taskrun.domain.status import TaskStatus

#: Of each id: the status of its task, and the number that its story goes on with.
_BEFORE = """
    SELECT json_group_array(json_array(
        wanted.value,
        status,
        (SELECT next_seq FROM story WHERE task_id = wanted.value ORDER BY seq DESC LIMIT 1)
    ))
    FROM json_each(?) AS wanted LEFT JOIN tasks ON tasks.id = wanted.value
"""
_SAVE = "INSERT INTO tasks (id, status, agent, finished_at, state)"
_SAVE_AGAIN = """
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, finished_at = excluded.finished_at, state = excluded.state
"""
_COUNT_MORE = "ON CONFLICT (status) DO UPDATE SET tasks = tasks + excluded.tasks"
_NEWER_KEY = "ON CONFLICT (caller, key) DO UPDATE SET made_at = excluded.made_at, task_id = excluded.task_id"
_FIND_KEY = "SELECT task_id FROM keys WHERE caller = ? AND key = ? AND made_at >= ?"
_RUNNING = "SELECT json_group_array(id) FROM (SELECT id FROM tasks WHERE status = 'RUNNING' ORDER BY id)"
#: PENDING, but not in the queue. The counts say whether the search is worth its while.
_CLAIMED = """
    SELECT json_group_array(id) FROM tasks
    WHERE status = 'PENDING'
        AND (SELECT tasks FROM counts WHERE status = 'PENDING') > (SELECT coalesce(sum(waiting), 0) FROM requirements)
        AND id NOT IN (SELECT task_id FROM queue)
"""

_decode_before = msgspec.json.Decoder(list[tuple[str, TaskStatus | None, int | None]]).decode
_decode_ids = msgspec.json.Decoder(list[str]).decode


class Writer:
    """Applies batches. Raises `sqlite3.Error`, or `StoreFailed` for a batch that it refuses; then nothing is stored."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lines = Lines(connection)

    def commit(self, batch: Batch) -> Sequence[Answer]:
        """See `Store.commit`."""
        try:
            with transaction(self._connection):
                before = self._before(batch)
                check_batch(batch, before)
                self._save(batch, before)
                self._tell(batch)
                answers = [self._answer(ask) for ask in batch.asks]
                self._lines.write_counts()
        except BaseException:
            self._lines.forget()
            raise
        return answers

    def recover(self) -> Recovery:
        """See `Store.recover`."""
        try:
            with transaction(self._connection):
                self._lines.put(self._tasks(_CLAIMED))
                self._lines.write_counts()
        except BaseException:
            self._lines.forget()
            raise
        counts = dict(self._connection.execute("SELECT status, tasks FROM counts").fetchall())
        by_status = {status: counts.get(status.value, 0) for status in TaskStatus}
        backlog, expires_at_ms = reader.backlog(self._connection), self._lines.expires_at_ms()
        return Recovery(tuple(self._tasks(_RUNNING)), backlog, by_status, expires_at_ms)

    def _before(self, batch: Batch) -> Before:
        ids = list(batch.tasks.keys() | batch.story.keys())
        if not ids:
            return {}
        (json,) = self._connection.execute(_BEFORE, (json_list(ids),)).fetchone()
        return {task_id: (status, next_seq) for task_id, status, next_seq in _decode_before(json)}

    def _save(self, batch: Batch, before: Before) -> None:
        tasks = list(batch.tasks.values())
        new = [task for task in tasks if before[task.id][0] is None]
        insert(self._connection, _SAVE, [_row(task) for task in tasks], _SAVE_AGAIN)
        insert(self._connection, "INSERT INTO births (task_id, body)", [(task.id, birth_of(task)) for task in new])
        self._lines.remove(task for task in tasks if before[task.id][0] is TaskStatus.PENDING)
        self._lines.put(task for task in tasks if task.status is TaskStatus.PENDING)
        self._count(tasks, before)
        insert(
            self._connection,
            "INSERT INTO keys (caller, key, made_at, task_id)",
            [(*name, task.created_at_ms, task.id) for name, task in newest_keys(new).items()],
            _NEWER_KEY,
        )

    def _count(self, tasks: Iterable[Task], before: Before) -> None:
        rows = [(status.value, change) for status, change in count_changes(tasks, before).items() if change]
        insert(self._connection, "INSERT INTO counts (status, tasks)", rows, _COUNT_MORE)

    def _tell(self, batch: Batch) -> None:
        rows = [
            (task_id, entries[0].seq, entries[-1].next_seq, entries_json(entries))
            for task_id, entries in batch.story.items()
            if entries
        ]
        insert(self._connection, "INSERT INTO story (task_id, seq, next_seq, entries)", rows)

    def _answer(self, ask: Ask) -> Answer:
        match ask:
            case ClaimNext():
                ids = self._lines.take(ask.requirements, ask.limit)
                return TasksClaimed(ask, tuple(chain.from_iterable(reader.tasks(self._connection, ids))))
            case ClaimTask():
                task = reader.task(self._connection, ask.task_id)
                waits = task is not None and task.status is TaskStatus.PENDING and self._lines.remove([task]) == 1
                return TaskClaimed(ask, task, waits)
            case ClaimRuns():
                return RunsClaimed(ask, ())
            case TakeRate():
                return RateTaken(ask, ask.wanted)
            case RelayCancel():
                return CancelRelayed(ask, reader.task(self._connection, ask.task_id))
            case ClaimExpired():
                ids = self._lines.take_expired(ask.until_ms, ask.limit)
                tasks = tuple(chain.from_iterable(reader.tasks(self._connection, ids)))
                return ExpiredClaimed(ask, tasks, self._lines.expires_at_ms())
            case ClaimStranded():
                ids = self._lines.take_stranded(ask.worker_id, ask.limit)
                return StrandedClaimed(ask, tuple(chain.from_iterable(reader.tasks(self._connection, ids))))
            case FindKey():
                row = self._connection.execute(_FIND_KEY, (ask.caller, ask.key, ask.since_ms)).fetchone()
                return KeyFound(ask, None if row is None else reader.task(self._connection, row[0]))
            case _:
                return answer_alone(ask)

    def _tasks(self, sql: str) -> list[Task]:
        (ids,) = self._connection.execute(sql).fetchone()
        return list(chain.from_iterable(reader.tasks(self._connection, _decode_ids(ids))))


def _row(task: Task) -> tuple[str, str, str, int | None, bytes]:
    status = task.status
    return (task.id, status.value, task.spec.agent, task.finished_at_ms if status.is_terminal else None, state_of(task))
