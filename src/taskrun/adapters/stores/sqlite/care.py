"""Looking after a database file, beside the control plane that uses it: is it sound, and a copy of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from taskrun.adapters.stores.migrations import NEVER_USED, schema_findings
from taskrun.adapters.stores.sqlite.connection import open_reader, snapshot
from taskrun.adapters.stores.sqlite.failures import code_of, translated
from taskrun.adapters.stores.sqlite.looking import must_be_ours, real
from taskrun.adapters.stores.sqlite.migrating import applied, known_migrations
from taskrun.adapters.stores.sqlite.new_file import new_file
from taskrun.adapters.stores.sqlite.read_only import can_be_written, reading_only
from taskrun.domain.errors import FailedPrecondition, StoreFailed

#: Findings of one kind that are told.
_MOST = 10
#: Steps of SQLite's between two moments in which a signal is heard: well below a millisecond, and not felt.
_STEPS = 1000

#: Its file must be empty or not there. What is free in the database is left out.
_COPY = "VACUUM INTO ?"

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
            if findings := _unsound_pages(connection) + _schema_findings(connection):
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


def check_schema(path: Path) -> list[str]:
    """In what its schema is not exactly this version's, a sentence each; nothing, if it is. It may be in use.

    Raises `FailedPrecondition` if it cannot be looked into, and `StoreFailed`.
    """
    with _reading(path) as connection:
        return _schema_findings(connection)


def backup(path: Path, target: Path) -> None:
    """Copies the database, as it is at one moment, into a new file (0600). It may be in use, and goes on meanwhile.

    Raises `AlreadyExists` if there is such a file, `FailedPrecondition` if it cannot be made, and `StoreFailed`; then
    nothing is left of it. So it is after a `KeyboardInterrupt`, which ends it at once; `new_file` says what a kill
    leaves.
    """
    # The copy has its name when it is known that what was read counts.
    with new_file(target) as made, _reading(path) as connection:
        if not applied(connection):
            raise FailedPrecondition(f"{path}: {NEVER_USED}")
        connection.execute("PRAGMA query_only=OFF")
        try:
            _interruptible(connection, _COPY, (str(made),))
        except sqlite3.Error as error:
            if code_of(error) != sqlite3.SQLITE_FULL:
                raise
            # Nothing else is written to: the disk that holds the tasks may have all the room in the world.
            raise StoreFailed(f"{target} does not fit on its disk.") from error


def _unsound_pages(connection: sqlite3.Connection) -> list[str]:
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
    except sqlite3.DatabaseError as error:
        if code_of(error) != sqlite3.SQLITE_CORRUPT:
            raise
        return ["The file is damaged."]
    return [f"The file is damaged: {' '.join(text.split())}." for (text,) in rows if text != "ok"]


def _schema_findings(connection: sqlite3.Connection) -> list[str]:
    return schema_findings(known_migrations(), applied(connection))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not os.path.isfile(path):
        raise FailedPrecondition(f"There is no database {path}.")
    must_be_ours(path)
    with translated(), _reader(real(path)) as connection:
        yield connection


def _reader(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    return closing(open_reader(path)) if can_be_written(path) else reading_only(path)


def _interruptible(connection: sqlite3.Connection, sql: str, parameters: tuple[str, ...]) -> None:
    """Runs a long statement that Ctrl-C ends. Raises `KeyboardInterrupt`.

    Python calls the handlers of signals between two steps of its own. It makes some in SQLite's midst here, and what is
    raised in them becomes an interruption of the statement: nothing else interrupts it.
    """
    connection.set_progress_handler(lambda: None, _STEPS)
    try:
        connection.execute(sql, parameters)
    except sqlite3.OperationalError as error:
        if code_of(error) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        raise
