"""The queue's lines: one for each requirement, a claim takes the first of several.

Who waits is a row of `queue`, nothing in memory. Rows are put in and taken out within the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from heapq import merge
from itertools import islice

import msgspec

from taskrun.adapters.stores.rows import pairs_json
from taskrun.adapters.stores.sqlite.bulk import insert, json_list
from taskrun.domain.records import Requirement, Task

#: Numbers of requirements that are remembered.
_KNOWN = 10_000

_HEAD = """
    SELECT json_group_array(json_array(rank, task_id))
    FROM (SELECT rank, task_id FROM queue WHERE requirement = ? ORDER BY rank, task_id LIMIT ?)
"""
# A rank at a time: with ranks and ids as pairs SQLite would look at every task of a rank.
_TAKE = "DELETE FROM queue WHERE requirement = ? AND rank = ? AND task_id IN (SELECT value FROM json_each(?))"
#: Who has waited long enough, and when the next one will have.
_EXPIRED = """
    SELECT json_group_array(json_array(requirement, rank, task_id))
    FROM (
        SELECT requirement, rank, task_id FROM queue INDEXED BY queue_by_expiry
        WHERE expires_at <= ? ORDER BY expires_at, task_id LIMIT ?
    )
"""
#: Who goes on with a session of a worker.
_STRANDED = """
    SELECT json_group_array(json_array(requirement, rank, task_id))
    FROM (
        SELECT requirement, rank, task_id FROM queue INDEXED BY queue_by_holder
        WHERE holder = ? ORDER BY task_id LIMIT ?
    )
"""
_NEXT_EXPIRY = "SELECT coalesce(min(expires_at), 0) FROM queue INDEXED BY queue_by_expiry WHERE expires_at IS NOT NULL"
_ADD = "INSERT INTO requirements (agent, selector, share) VALUES (?, ?, ?)"
_FIND = "SELECT number FROM requirements WHERE agent = ? AND selector = ? AND share = ?"
_COUNT = "UPDATE requirements SET waiting = waiting + (value ->> 1) FROM json_each(?) WHERE number = value ->> 0"

#: A place in a line: the requirement's number and the rank.
_Place = tuple[int, int]

_decode_head = msgspec.json.Decoder(list[tuple[int, str]]).decode
_decode_leaving = msgspec.json.Decoder(list[tuple[int, int, str]]).decode


class Lines:
    """Puts tasks into the queue and takes them out. Every step is O(log n), whatever waits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[Requirement, int] = {}
        #: By requirement, how many more wait than the table of requirements says.
        self._changes: Counter[int] = Counter()

    def forget(self) -> None:
        """The transaction was given up: what was learnt in it is not true."""
        self._numbers.clear()
        self._changes.clear()

    def put(self, tasks: Iterable[Task]) -> None:
        """These wait from now on; they must not be waiting already."""
        rows = []
        for task in tasks:
            number = self._number(task.requirement)
            self._changes[number] += 1
            expires_at, holder = task.expires_at_ms or None, task.spec.holder or None
            rows.append((number, task.rank, task.id, task.waits_since_ms, expires_at, holder))
        insert(self._connection, "INSERT INTO queue (requirement, rank, task_id, since, expires_at, holder)", rows)

    def remove(self, tasks: Iterable[Task]) -> int:
        """These wait no longer, those that did. Returns how many did."""
        leaving: defaultdict[_Place, list[str]] = defaultdict(list)
        for task in tasks:
            leaving[self._number(task.requirement), task.rank].append(task.id)
        return self._take(leaving)

    def take(self, requirements: Iterable[Requirement], limit: int) -> list[str]:
        """Takes out the next of any of these requirements, at most `limit`: by priority, then age."""
        numbers = [number for each in dict.fromkeys(requirements) if (number := self._known(each)) is not None]
        taken = list(islice(merge(*(self._head(number, limit) for number in numbers)), limit))
        leaving: defaultdict[_Place, list[str]] = defaultdict(list)
        for rank, task_id, number in taken:
            leaving[number, rank].append(task_id)
        self._take(leaving)
        return [task_id for _, task_id, _ in taken]

    def take_expired(self, until_ms: int, limit: int) -> list[str]:
        """Takes out those that have waited long enough at `until_ms`, at most `limit`, the first to expire first."""
        return self._take_found(_EXPIRED, until_ms, limit)

    def take_stranded(self, worker_id: str, limit: int) -> list[str]:
        """Takes out those that go on with a session of this worker, at most `limit`, the oldest first."""
        return self._take_found(_STRANDED, worker_id, limit)

    def expires_at_ms(self) -> int:
        """When the next one has waited long enough (Unix ms); 0 is never."""
        (expires_at,) = self._connection.execute(_NEXT_EXPIRY).fetchone()
        return int(expires_at)

    def write_counts(self) -> None:
        """Adds to the table of requirements what has changed: once, at the end of a transaction."""
        rows = [(number, change) for number, change in self._changes.items() if change]
        self._changes.clear()
        if rows:
            self._connection.execute(_COUNT, (json_list(rows),))

    def _head(self, number: int, limit: int) -> list[tuple[int, str, int]]:
        (json,) = self._connection.execute(_HEAD, (number, limit)).fetchone()
        return [(rank, task_id, number) for rank, task_id in _decode_head(json)]

    def _take_found(self, sql: str, *wanted: object) -> list[str]:
        """Takes out the tasks of these places."""
        (json,) = self._connection.execute(sql, wanted).fetchone()
        leaving: defaultdict[_Place, list[str]] = defaultdict(list)
        found = _decode_leaving(json)
        for number, rank, task_id in found:
            leaving[number, rank].append(task_id)
        self._take(leaving)
        return [task_id for _, _, task_id in found]

    def _take(self, leaving: Mapping[_Place, list[str]]) -> int:
        all_taken = 0
        for (number, rank), ids in leaving.items():
            taken = self._connection.execute(_TAKE, (number, rank, json_list(ids))).rowcount
            self._changes[number] -= taken
            all_taken += taken
        return all_taken

    def _number(self, requirement: Requirement) -> int:
        """The requirement's number, a new one if it has none."""
        number = self._known(requirement)
        if number is None:
            number = self._connection.execute(_ADD, _columns(requirement)).lastrowid
            assert number is not None
            self._remember(requirement, number)
        return number

    def _known(self, requirement: Requirement) -> int | None:
        number = self._numbers.get(requirement)
        if number is None:
            found = self._connection.execute(_FIND, _columns(requirement)).fetchone()
            if found is not None:
                number = found[0]
                self._remember(requirement, number)
        return number

    def _remember(self, requirement: Requirement, number: int) -> None:
        if len(self._numbers) >= _KNOWN:
            self._numbers.clear()
        self._numbers[requirement] = number


def _columns(requirement: Requirement) -> tuple[str, str, str]:
    return (requirement.agent, pairs_json(requirement.selector), pairs_json(requirement.share))
