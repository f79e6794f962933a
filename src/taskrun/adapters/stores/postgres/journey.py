"""Many statements in one journey to the server: sent together, answered together.

psycopg's own pipeline asks the event loop before it sends each statement, which for a small batch is most of the work.
This one fills libpq's buffer, and reads at the end. A long statement is sent as soon as it is made, so that the server
works at it while the next is being made. What a statement is given has the types that its text names, always the same,
so that each is prepared once a connection.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from psycopg import errors, waiting
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from taskrun.adapters.stores.postgres.database import AsyncConnection

#: SQL, in which each `%b::type` is a place, and what is put there.
Statement = tuple[str, Sequence[Any]]
Rows = list[tuple[Any, ...]]

_PLACE = re.compile(r"%b::(\w+(?:\[\])?)")
_TEXT, _INT8, _UUID = 25, 20, 2950
_GOOD = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}


#: Bytes that keep the server busy for longer than it takes to wake it up.
_MUCH = 4096

#: One dimension, no NULLs, the type of the elements, how many, and that they are counted from 1.
_HEAD = struct.Struct("!iiIii").pack
_LENGTH = struct.Struct("!i").pack


def _array(element: int, elements: Sequence[bytes]) -> bytes:
    """PostgreSQL's binary form of a list without NULLs."""
    parts = [_HEAD(1, 0, element, len(elements), 1)] + [b""] * (2 * len(elements))
    parts[1::2] = map(_LENGTH, map(len, elements))
    parts[2::2] = elements
    return b"".join(parts)


def _texts(column: Sequence[str | bytes]) -> bytes:
    """Of texts, some of which may be in UTF-8 already."""
    return _array(_TEXT, [each.encode() if isinstance(each, str) else each for each in column])


def _numbers(column: Sequence[int]) -> bytes:
    spread = [8] * (2 * len(column))
    spread[1::2] = column
    return _HEAD(1, 0, _INT8, len(column), 1) + _lengths_and_numbers(len(column))(*spread)


@lru_cache(maxsize=1000)
def _lengths_and_numbers(count: int) -> Callable[..., bytes]:
    return struct.Struct("!" + "iq" * count).pack


def _uuids(column: Sequence[UUID]) -> bytes:
    return _array(_UUID, [each.bytes for each in column])


def _number(value: int) -> bytes:
    return value.to_bytes(8, signed=True)


#: By the type's name: its number at the server, and how a value is written.
_TYPES: dict[str, tuple[int, Callable[[Any], bytes]]] = {
    "text": (_TEXT, str.encode),
    "int8": (_INT8, _number),
    "text[]": (1009, _texts),
    "int8[]": (1016, _numbers),
    "uuid[]": (2951, _uuids),
}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A statement as the server is told of it."""

    name: bytes
    text: bytes
    types: Sequence[int]
    writers: Sequence[Callable[[Any], bytes]]


_numbered: list[str] = []


@cache
def _prepared(sql: str) -> _Prepared:
    types = [_TYPES[each] for each in _PLACE.findall(sql)]
    numbers = iter(range(1, len(types) + 1))
    text = _PLACE.sub(lambda _: f"${next(numbers)}", sql)
    _numbered.append(sql)
    name = f"journey_{len(_numbered)}"
    return _Prepared(name.encode(), text.encode(), [number for number, _ in types], [write for _, write in types])


def _nothing() -> None:
    pass


class Journeys:
    """Takes statements to the server on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        #: What the server has been told of.
        self._known: set[bytes] = set()

    async def make(self, statements: Iterable[Statement], meanwhile: Callable[[], object] = _nothing) -> list[Rows]:
        """The rows of each statement. Raises `psycopg.Error` for the first that failed: those after it were not done.

        A transaction that is begun goes on in the next journey. `meanwhile` is called while the server works.
        """
        pgconn = self.connection.pgconn
        pgconn.enter_pipeline_mode()
        try:
            prepares = [self._send(pgconn, sql, given) for sql, given in statements]
            pgconn.pipeline_sync()
            pgconn.flush()
            meanwhile()
            results = iter(await self.connection.wait(_results(pgconn)))
        except BaseException:
            # Nobody knows what is still on its way.
            pgconn.finish()
            raise
        pgconn.exit_pipeline_mode()
        rows: list[Rows] = []
        try:
            for prepare in prepares:
                rows.append(self._rows(results, prepare))
        except BaseException:
            # Of those that came after it the server was not told.
            self._known.difference_update(prepares[len(rows) + 1 :])
            raise
        return rows

    def _send(self, pgconn: PGconn, sql: str, given: Sequence[Any]) -> bytes:
        """Returns its name if the server is told of it with this, else nothing."""
        statement = _prepared(sql)
        values = [write(value) for write, value in zip(statement.writers, given, strict=True)]
        new = statement.name not in self._known
        if new:
            pgconn.send_prepare(statement.name, statement.text, statement.types)
            self._known.add(statement.name)
        pgconn.send_query_prepared(statement.name, values, [Format.BINARY] * len(values), Format.BINARY)
        if sum(map(len, values)) > _MUCH:
            pgconn.flush()
        return statement.name if new else b""

    def _rows(self, results: Iterator[PGresult], prepare: bytes) -> Rows:
        if prepare:
            told = next(results)
            if told.status not in _GOOD:
                self._known.discard(prepare)
            _must_be_good(told, self.connection)
        result = next(results)
        _must_be_good(result, self.connection)
        if not result.ntuples:
            return []
        transformer = Transformer(self.connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)


def _must_be_good(result: PGresult, connection: AsyncConnection) -> None:
    if result.status not in _GOOD:
        raise errors.error_from_result(result, connection.info.encoding)


def _results(pgconn: PGconn) -> Generator[waiting.Wait, waiting.Ready | int, list[PGresult]]:
    """Empties the buffer and takes what comes, until the server has answered everything."""
    results: list[PGresult] = []
    while pgconn.flush():
        ready = yield waiting.Wait.RW
        if ready & waiting.Ready.R:
            pgconn.consume_input()
    while True:
        nothing = 0
        # Between two statements there is nothing once.
        while nothing < 2 and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                nothing += 1
                continue
            nothing = 0
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)
        yield waiting.Wait.R
        pgconn.consume_input()
