"""What is read: tasks by id, pages of tasks, stories, the queue's length. Each is a short read on any connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from taskrun.adapters.stores.page_tokens import id_of_token, page_token
from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.rows import entries_of, requirement_of, task_of
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

_TASKS = "SELECT id, birth, state FROM tasks WHERE id = ANY(%b::text[]) ORDER BY id DESC"
#: The lengths are summed up to the row before, so that the row that is more comes too.
_STORY = """
    SELECT entries FROM (
        SELECT seq, entries, sum(octet_length(entries)) OVER (ORDER BY seq) - octet_length(entries) AS before FROM (
            SELECT seq, entries FROM story
            WHERE task_id = %(task)b AND seq >= coalesce(
                (SELECT max(seq) FROM story WHERE task_id = %(task)b AND seq <= %(seq)b::int8), %(seq)b::int8
            )
            ORDER BY seq LIMIT %(limit)b::int8
        ) AS found
    ) AS measured WHERE before < %(most)b::int8 ORDER BY seq
"""
_BACKLOG = """
    SELECT agent, selector, share, amount::int8,
        (SELECT since FROM tasks WHERE tasks.line = lines.line AND waits
            ORDER BY since LIMIT 1)
    FROM (SELECT line, sum(amount) AS amount FROM waiting GROUP BY line HAVING sum(amount) > 0) AS lines
    JOIN requirements USING (line)
"""
#: NULL if it does not wait. That is no condition of the search for it, which could then be one through all that wait.
_AHEAD = """
    SELECT CASE WHEN waits THEN (
        SELECT count(*) FROM (
            SELECT FROM tasks WHERE line = mine.line AND waits AND (rank, id) < (mine.rank, mine.id)
            LIMIT %(most)b::int8
        ) AS before
    ) END
    FROM tasks AS mine WHERE id = %(task)b
"""
_NEXT_EXPIRY = "SELECT coalesce(min(expires_at), 0) FROM tasks WHERE waits AND expires_at IS NOT NULL"
#: By whether a status and an agent are asked for. No index has both in front; with a status the agents of the others
#: are passed over, in the index alone.
_NEWEST = {
    (with_status, with_agent): f"""
        SELECT array_agg(id ORDER BY id DESC) FILTER (WHERE {"agent = %(agent)b" if with_agent else "true"}),
            min(id), count(*)
        FROM (
            SELECT id, agent FROM tasks WHERE {where} AND (%(before)b::text IS NULL OR id < %(before)b)
            ORDER BY id DESC LIMIT %(step)b::int8
        ) AS found
    """  # noqa: S608  # the parts are ours
    for with_status, with_agent, where in (
        (False, False, "true"),
        (False, True, "agent = %(agent)b"),
        (True, False, "status = %(status)b"),
        (True, True, "status = %(status)b"),
    )
}


async def tasks(connection: AsyncConnection, ids: Sequence[str]) -> AsyncIterator[Task]:
    """The tasks of these ids, the greatest first; those that are unknown are left out."""
    for begin in range(0, len(ids), _AT_ONCE):
        for row in await _all(connection, _TASKS, [ids[begin : begin + _AT_ONCE]]):
            yield task_of(*row)


async def task(connection: AsyncConnection, task_id: str) -> Task | None:
    """See `Store.get`."""
    if not _may_be_stored(task_id):
        return None
    rows = await _all(connection, _TASKS, [[task_id]])
    return task_of(*rows[0]) if rows else None


async def story(connection: AsyncConnection, task_id: str, from_seq: int, limit: int) -> list[StoryEntry]:
    """See `Store.story`."""
    if not _may_be_stored(task_id):
        return []
    given = {"task": task_id, "seq": from_seq, "limit": limit + 1, "most": _MOST_STORY}
    # A row holds at least one entry, but for the first all of them may lie before what is wanted.
    rows = await _all(connection, _STORY, given)
    entries = [entry for (json,) in rows for entry in entries_of(json) if entry.next_seq > from_seq]
    if entries:
        entries[0] = entries[0].since(from_seq)
    return entries[:limit]


async def backlog(connection: AsyncConnection) -> Mapping[Requirement, Backlog]:
    """See `Store.backlog`."""
    rows = await _all(connection, _BACKLOG, [])
    return {requirement_of(*line): Backlog(waiting, oldest) for *line, waiting, oldest in rows}


async def ahead(connection: AsyncConnection, task_id: str, most: int) -> int | None:
    """See `Store.ahead`."""
    if not _may_be_stored(task_id):
        return None
    rows = await _all(connection, _AHEAD, {"task": task_id, "most": most})
    place: int | None = rows[0][0] if rows else None
    return place


async def next_expiry(connection: AsyncConnection) -> int:
    """When the next task in the queue has waited long enough (Unix ms); 0 if none may not wait for ever."""
    [[expires_at_ms]] = await _all(connection, _NEXT_EXPIRY, [])
    return int(expires_at_ms)


async def page(connection: AsyncConnection, query: TaskQuery) -> TaskPage:
    """See `Store.find`. Raises `InvalidArgument` for a token that is none."""
    before = id_of_token(query.page_token) if query.page_token else None
    if not _may_be_stored(query.agent) or not _may_be_stored(before or ""):
        return TaskPage(())
    labels, limit = query.labels.items(), query.limit
    found: list[Task] = []
    scanned, size, step = 0, 0, limit + 1
    async with _one_moment(connection):
        while scanned < _MOST_SCANNED:
            ids, last, count = await _newest(connection, query, before, step)
            async for each in tasks(connection, ids):
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


async def _newest(
    connection: AsyncConnection, query: TaskQuery, before: str | None, step: int
) -> tuple[list[str], str, int]:
    """Looks at the next `step` tasks of the status, or else of the agent. Returns the ids of those of the agent,
    greatest first, the last id it looked at, and how many tasks there were."""
    sql = _NEWEST[query.status is not None, bool(query.agent)]
    status = query.status.value if query.status else ""
    given = {"status": status, "agent": query.agent, "before": before, "step": step}
    [[ids, last, count]] = await _all(connection, sql, given)
    return ids or [], last, count


@asynccontextmanager
async def _one_moment(connection: AsyncConnection) -> AsyncIterator[None]:
    """All that is read within is of one moment."""
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("ROLLBACK")


async def _all(connection: AsyncConnection, sql: str, given: Any) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(sql, given)
    return await cursor.fetchall()


def _may_be_stored(text: str) -> bool:
    """No text in the database has the character of which C's strings are afraid."""
    return "\0" not in text
