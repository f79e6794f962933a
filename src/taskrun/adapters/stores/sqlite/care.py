"""Looking after a database file, beside the control plane that uses it: is it sound, and a copy of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskrun.adapters.stores.migrations import refuse_strange
from taskrun.adapters.stores.sqlite.connection import open_reader, snapshot
from taskrun.adapters.stores.sqlite.failures import code_of, translated
from taskrun.adapters.stores.sqlite.migrating import applied, known_migrations
from taskrun.domain.errors import AlreadyExists, FailedPrecondition, StoreFailed

#: Findings of one kind that are told.
_MOST = 10

#: What must be so, and what finds where it is not.
_INVARIANTS = {
    "The number of {} tasks is not what was kept": """
        SELECT status FROM counts LEFT JOIN (SELECT status, count(*) AS found FROM tasks GROUP BY status) USING (status)
        WHERE coalesce(found, 0) <> counts.tasks
    """,
    "The number of tasks that wait for {} is not what was kept": """
        SELECT agent || ' ' || selector FROM requirements
        LEFT JOIN (SELECT requirement, count(*) AS found FROM queue GROUP BY requirement) ON requirement = number
        WHERE coalesce(found, 0) <> waiting
    """,
    "Task {} is in the queue, but not PENDING": """
        SELECT task_id FROM queue LEFT JOIN tasks ON id = task_id WHERE status IS NOT 'PENDING'
    """,
    "Task {} has no record of its creation": "SELECT id FROM tasks WHERE id NOT IN (SELECT task_id FROM births)",
    "There is a record of the creation of task {}, but no task": """
        SELECT task_id FROM births WHERE task_id NOT IN (SELECT id FROM tasks)
    """,
    "There is a story of task {}, but no task": """
        SELECT DISTINCT task_id FROM story WHERE task_id NOT IN (SELECT id FROM tasks)
    """,
    "The story of task {} has a gap": """
        SELECT DISTINCT task_id
        FROM (SELECT task_id, seq, lag(next_seq) OVER (PARTITION BY task_id ORDER BY seq) AS expected FROM story)
        WHERE expected <> seq
    """,
    "Task {} has two statuses": "SELECT id FROM tasks WHERE json_extract(CAST(state AS TEXT), '$.status') <> status",
    "Task {} has ended, and its story has not": """
        SELECT id FROM tasks WHERE finished_at IS NOT NULL AND status IS NOT (
            SELECT json_extract(CAST(entries AS TEXT), '$[#-1][3].status') FROM story
            WHERE task_id = id ORDER BY seq DESC LIMIT 1
        )
    """,
}


def check(path: Path) -> list[str]:
    """What is wrong with the database, a sentence each; nothing, if it is sound. It may be in use.

    Reads all of it. Raises `FailedPrecondition` if it cannot be looked into, and `StoreFailed`.
    """
    try:
        with _reading(path) as connection, snapshot(connection):
            if findings := _unsound_pages(connection) + _strange_schema(connection):
                return findings
            return [
                f"{sentence.format(name)}."
                for sentence, sql in _INVARIANTS.items()
                for (name,) in connection.execute(f"SELECT * FROM ({sql}) LIMIT {_MOST}")  # noqa: S608  # both are ours
            ]
    except StoreFailed as error:
        # So badly that SQLite does not even open it: to check is what the sentence of that failure advises.
        if isinstance(error.__cause__, sqlite3.Error) and code_of(error.__cause__) == sqlite3.SQLITE_CORRUPT:
            return ["The file is damaged."]
        raise


def backup(path: Path, target: Path) -> None:
    """Copies the database, as it is at one moment, into a new file (0600). It may be in use, and goes on meanwhile.

    Raises `AlreadyExists` if there is such a file, `FailedPrecondition` if it cannot be made, and `StoreFailed`; then
    nothing is left of it.
    """
    with _reading(path) as connection:
        if not applied(connection):
            raise FailedPrecondition(f"{path} holds no tasks and never did: is it the right one?")
        _make_new(target)
        try:
            connection.execute("PRAGMA query_only=OFF")
            connection.execute("VACUUM INTO ?", (str(target),))
            _sync(target)
        except BaseException as error:
            target.unlink()
            if isinstance(error, sqlite3.Error) and code_of(error) == sqlite3.SQLITE_FULL:
                # Nothing else is written to: the disk that holds the tasks may have all the room in the world.
                raise StoreFailed(f"{target} does not fit on its disk.") from error
            raise


def must_exist(path: Path) -> None:
    """Raises `FailedPrecondition` if there is no such file."""
    if not path.is_file():
        raise FailedPrecondition(f"There is no database {path}.")


def _unsound_pages(connection: sqlite3.Connection) -> list[str]:
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
    except sqlite3.DatabaseError as error:
        if code_of(error) != sqlite3.SQLITE_CORRUPT:
            raise
        return ["The file is damaged."]
    return [f"The file is damaged: {' '.join(text.split())}." for (text,) in rows if text != "ok"]


def _strange_schema(connection: sqlite3.Connection) -> list[str]:
    known, done = known_migrations(), applied(connection)
    try:
        refuse_strange(known, done)
    except FailedPrecondition as error:
        return [error.message]
    missing = [step.name for step in known if step.number not in done]
    return [f"Step {name} of the schema is missing: a control plane's start adds it." for name in missing]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    must_exist(path)
    with translated():
        try:
            connection = open_reader(path)
        except sqlite3.DatabaseError as error:
            if code_of(error) != sqlite3.SQLITE_NOTADB:
                raise
            raise FailedPrecondition(f"{path} is no SQLite database.") from error
        try:
            yield connection
        finally:
            connection.close()


def _make_new(target: Path) -> None:
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError as error:
        raise AlreadyExists(f"{target} exists already: name a new file.") from error
    except OSError as error:
        raise FailedPrecondition(f"{target} cannot be made: {error.strerror or error}.") from error


def _sync(target: Path) -> None:
    """The copy, and its name, are on the disk."""
    for path in (target, target.absolute().parent):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
