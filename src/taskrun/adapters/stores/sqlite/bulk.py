"""Many rows with few calls.

Each call into SQLite lets go of Python's lock, and a busy event loop may keep it for milliseconds before the writer has
it back. So a hundred rows are four statements with many rows each, not a hundred with one, and an answer of many rows
is read as one row that holds them as JSON.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import msgspec

#: Rows of a statement. What is left is one of its own size: each is prepared once and kept.
_LARGE, _SMALL = 64, 32


def insert(connection: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    """Runs `head` VALUES rows `tail`: `head` ends before VALUES, `tail` may say what to do about a conflict."""
    begin, end = 0, len(rows)
    while (left := end - begin) > 0:
        size = _LARGE if left >= _LARGE else min(left, _SMALL)
        part = rows[begin : begin + size]
        connection.execute(_statement(head, len(part[0]), size, tail), list(chain.from_iterable(part)))
        begin += size


@cache
def _statement(head: str, columns: int, rows: int, tail: str) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{head} VALUES {','.join([row] * rows)} {tail}"


def json_list(values: Sequence[Any]) -> str:
    """Values as one parameter, for SQLite's `json_each`."""
    return msgspec.json.encode(values).decode()
