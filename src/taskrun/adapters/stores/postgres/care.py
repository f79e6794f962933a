"""Looking after a database, beside the control plane that uses it: is it sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from taskrun.adapters.stores.migrations import schema_findings
from taskrun.adapters.stores.postgres.changes import TASK_BYTES
from taskrun.adapters.stores.postgres.connecting import PLANNING, conninfo_of, place_of
from taskrun.adapters.stores.postgres.database import must_be_fit, said
from taskrun.adapters.stores.postgres.migrating import Connection, applied, known_migrations
from taskrun.domain.errors import FailedPrecondition

#: Findings of one kind that are told.
_MOST = 10

#: What must be so, and what finds where it is not.
_INVARIANTS = {
    "The number of {} tasks is not what was kept": """
        SELECT name FROM (SELECT name, sum(amount) AS kept FROM counts WHERE name <> 'bytes' GROUP BY name) AS kept
        FULL JOIN (SELECT status AS name, count(*) AS found FROM tasks GROUP BY status) AS found USING (name)
        WHERE coalesce(kept, 0) <> coalesce(found, 0)
    """,
    "The bytes that tasks take are not what was kept{}": f"""
        SELECT '' WHERE (SELECT coalesce(sum(amount), 0) FROM counts WHERE name = 'bytes') <>
            (SELECT coalesce(sum(octet_length(birth) + {TASK_BYTES}), 0) FROM tasks) +
            (SELECT coalesce(sum(octet_length(entries)), 0) FROM story)
    """,  # noqa: S608  # a number of ours
    "The number of tasks that wait for {} is not what was kept": """
        SELECT agent || ' ' || selector FROM (SELECT line, sum(amount) AS kept FROM waiting GROUP BY line) AS kept
        FULL JOIN (
            SELECT line, count(*) AS found FROM tasks WHERE waits GROUP BY line
        ) AS found USING (line) JOIN requirements USING (line)
        WHERE coalesce(kept, 0) <> coalesce(found, 0)
    """,
    "Task {} waits, but nothing says for what": """
        SELECT id FROM tasks WHERE status = 'PENDING' AND line NOT IN (SELECT line FROM requirements)
    """,
    "Limits do not count what waits for {}": """
        SELECT agent || ' ' || selector FROM requirements WHERE NOT EXISTS (
            SELECT FROM accounts WHERE account = '[["agent","' || agent || '"]]' AND accounts.line = requirements.line
        )
    """,
    "More run of {} than limits take for possible": """
        SELECT account FROM crews WHERE most < (
            SELECT count(*) FROM running JOIN tasks ON id = task_id
            WHERE running.account = crews.account AND (status = 'RUNNING' OR status = 'PENDING' AND NOT waits)
        )
    """,
    "Task {} waits, and is not PENDING": "SELECT id FROM tasks WHERE waits AND status <> 'PENDING'",
    "Task {} runs, and no control plane owns it": "SELECT id FROM tasks WHERE status = 'RUNNING' AND owner IS NULL",
    "Task {} runs, and its owner is none": """
        SELECT id FROM tasks WHERE status = 'RUNNING' AND owner > (SELECT last_value FROM owner_numbers)
    """,
    "There is a story of task {}, but no task": """
        SELECT DISTINCT task_id FROM story WHERE task_id NOT IN (SELECT id FROM tasks)
    """,
    "The story of task {} has a gap": """
        SELECT DISTINCT task_id
        FROM (SELECT task_id, seq, lag(next_seq) OVER (PARTITION BY task_id ORDER BY seq) AS expected FROM story)
            AS told
        WHERE expected <> seq
    """,
    "The story of task {} does not go on where it ends": """
        SELECT id FROM tasks
        WHERE story_seq IS DISTINCT FROM (SELECT max(next_seq) FROM story WHERE task_id = id)
    """,
    "Task {} has two statuses": "SELECT id FROM tasks WHERE state::json ->> 'status' <> status",
    "Task {} has ended, and its story has not": """
        SELECT id FROM tasks WHERE finished_at IS NOT NULL AND status IS DISTINCT FROM (
            SELECT entries::json -> -1 -> 3 ->> 'status' FROM story WHERE task_id = id ORDER BY seq DESC LIMIT 1
        )
    """,
}


def check(url: str) -> list[str]:
    """What is wrong with the database, a sentence each; nothing, if it is sound. It may be in use.

    Reads all of it. Raises `FailedPrecondition` if it cannot be looked into.
    """
    with _reading(url) as connection:
        if findings := _schema_findings(connection):
            return findings
        return [
            f"{sentence.format(name)}."
            for sentence, query in _INVARIANTS.items()
            for (name,) in connection.execute(sql.SQL(query) + sql.SQL(f" LIMIT {_MOST}"))
        ]


def check_schema(url: str) -> list[str]:
    """In what its schema is not exactly this version's, a sentence each; nothing, if it is. It may be in use.

    Raises `FailedPrecondition` if it cannot be looked into.
    """
    with _reading(url) as connection:
        return _schema_findings(connection)


def _schema_findings(connection: Connection) -> list[str]:
    return schema_findings(known_migrations(), applied(connection))


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    """All that is read within is of one moment, and may take its time."""
    try:
        with psycopg.connect(conninfo_of(url), autocommit=True) as connection:
            must_be_fit(connection)
            connection.execute("SET statement_timeout = 0")
            for name in PLANNING:
                # What was given with the connection is its default: only by name is it put right for long reads.
                connection.execute(sql.SQL("SET {} = on").format(sql.Identifier(name)))
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection
    except psycopg.Error as error:
        raise FailedPrecondition(f"{place_of(url)}: {said(error)}") from error
    except FailedPrecondition as error:
        raise FailedPrecondition(f"{place_of(url)}: {error.message}") from error
