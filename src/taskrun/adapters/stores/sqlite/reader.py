"""What is read: tasks by id, pages of tasks, stories, the queue's length. Each is a short read on any connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from taskrun.adapters.stores.page_tokens import id_of_token, page_token
from taskrun.adapters.stores.rows import entries_of, pairs_json, requirement_of, tasks_of
from taskrun.adapters.stores.sqlite.bulk import json_list
from taskrun.adapters.stores.sqlite.connection import snapshot
from taskrun.domain.batch import Backlog
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery

#: Tasks that are read at once: an input may have a megabyte.
_AT_ONCE = 32
#: Tasks looked at for a filter in one call: one that nothing matches must not cost the whole store.
_MOST_SCANNED = 10_000
#: Every look is so many times as long as the one before.
_FASTER = 4
#: Characters of input after which a page is full.
_MOST_INPUT = 16 * 1024 * 1024
#: Bytes of story that one call reads, beside the row that is more: about a message of `WatchTask`. A watcher that reads
#: no more keeps what was read for it.
_MOST_STORY = 256 * 1024

_TASKS = """
    SELECT '[' || coalesce(group_concat('[' || json_quote(id) || ',' || body || ',' || state || ']'), '') || ']'
    FROM (
        SELECT tasks.id, body, state FROM json_each(?) AS wanted
        CROSS JOIN tasks ON tasks.id = wanted.value CROSS JOIN births ON task_id = tasks.id
        ORDER BY wanted.key
    )
"""
_STORY = """
    SELECT entries FROM story
    WHERE task_id = ?1
        AND seq >= coalesce((SELECT seq FROM story WHERE task_id = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1), ?2)
    ORDER BY seq LIMIT ?3
"""
_BACKLOG = """
    SELECT agent, selector, share, waiting, (SELECT min(since) FROM queue WHERE requirement = number)
    FROM requirements WHERE waiting > 0
"""
#: No row if it does not wait. Compared with parameters the pair is one range of the key, so that nobody behind the task
#: is looked at; compared with the columns of its row it would not be.
_AHEAD = """
    SELECT (
        SELECT count(*) FROM (
            SELECT 1 FROM queue WHERE requirement = number AND (rank, task_id) < (:rank, :id) LIMIT :most
        )
    )
    FROM requirements JOIN queue AS mine ON mine.requirement = number
    WHERE agent = :agent AND selector = :selector AND share = :share AND mine.rank = :rank AND mine.task_id = :id
"""

_NEWEST = """
    SELECT json_group_array(id) FILTER (WHERE :agent IN ('', agent)), min(id), count(*)
    FROM (SELECT id, agent FROM tasks {index} WHERE {where} {below} ORDER BY id DESC LIMIT :step)
"""
#: By whether a status and an agent are asked for: what is looked through. No index has both in front; with a status
#: the agents of the others are passed over, in the index alone.
_SCANS = {
    (False, False): ("NOT INDEXED", "true"),
    (False, True): ("INDEXED BY tasks_by_agent", "agent = :agent"),
    (True, False): ("INDEXED BY tasks_by_status", "status = :status"),
    (True, True): ("INDEXED BY tasks_by_status", "status = :status"),
}

_decode_ids = msgspec.json.Decoder(list[str]).decode


def tasks(connection: sqlite3.Connection, ids: Sequence[str]) -> Iterator[list[Task]]:
    """The tasks of these ids, in their order, some at a time; those that are unknown are left out."""
    for begin in range(0, len(ids), _AT_ONCE):
        part = json_list(ids[begin : begin + _AT_ONCE])
        yield tasks_of(connection.execute(_TASKS, (part,)).fetchone()[0])


def task(connection: sqlite3.Connection, task_id: str) -> Task | None:
    """See `Store.get`."""
    found = next(tasks(connection, [task_id]))
    return found[0] if found else None


def story(connection: sqlite3.Connection, task_id: str, from_seq: int, limit: int) -> list[StoryEntry]:
    """See `Store.story`."""
    entries: list[StoryEntry] = []
    size = 0
    # A row holds at least one entry, but for the first all of them may lie before what is wanted.
    for (json,) in connection.execute(_STORY, (task_id, from_seq, limit + 1)):
        entries += [entry for entry in entries_of(json) if entry.next_seq > from_seq]
        size += len(json)
        if len(entries) >= limit or size >= _MOST_STORY:
            break
    if entries:
        entries[0] = entries[0].since(from_seq)
    return entries[:limit]


def backlog(connection: sqlite3.Connection) -> Mapping[Requirement, Backlog]:
    """See `Store.backlog`."""
    rows = connection.execute(_BACKLOG).fetchall()
    return {requirement_of(*line): Backlog(waiting, oldest) for *line, waiting, oldest in rows}


def ahead(connection: sqlite3.Connection, task_id: str, most: int) -> int | None:
    """See `Store.ahead`."""
    found = task(connection, task_id)
    if found is None:
        return None
    # What the place is found by never changes about a task: it may move between the two reads.
    line = {
        "agent": found.spec.agent,
        "selector": pairs_json(found.spec.selector),
        "share": pairs_json(found.share),
    }
    place = line | {"rank": found.rank, "id": task_id}
    row = connection.execute(_AHEAD, place | {"most": most}).fetchone()
    return None if row is None else int(row[0])


def page(connection: sqlite3.Connection, query: TaskQuery) -> TaskPage:
    """See `Store.find`. Raises `InvalidArgument` for a token that is none."""
    before = id_of_token(query.page_token) if query.page_token else None
    labels, limit = query.labels.items(), query.limit
    found: list[Task] = []
    scanned, size, step = 0, 0, limit + 1
    with snapshot(connection):
        while scanned < _MOST_SCANNED:
            ids, last, count = _newest(connection, query, before, step)
            for each in chain.from_iterable(tasks(connection, ids)):
                if not labels <= each.spec.labels.items():
                    continue
                if len(found) == limit or size > _MOST_INPUT:
                    return TaskPage(tuple(found), page_token(found[-1].id))
                found.append(each)
                size += len(each.spec.input_json)
            if count < step:
                return TaskPage(tuple(found))
            before, scanned, step = last, scanned + count, step * _FASTER
    assert before is not None
    return TaskPage(tuple(found), page_token(before))


def _newest(
    connection: sqlite3.Connection, query: TaskQuery, before: str | None, step: int
) -> tuple[list[str], str, int]:
    """Looks at the next `step` tasks of the status, or else of the agent. Returns the ids of those of the agent,
    greatest first, the last id it looked at, and how many tasks there were."""
    status = query.status.value if query.status else ""
    index, where = _SCANS[bool(status), bool(query.agent)]
    below = "AND id < :before" if before is not None else ""
    sql = _NEWEST.format(index=index, where=where, below=below)
    given = {"status": status, "agent": query.agent, "before": before, "step": step}
    ids, last, count = connection.execute(sql, given).fetchone()
    return _decode_ids(ids), last, count
