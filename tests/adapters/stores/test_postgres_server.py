"""What the store asks of its server: settings, a schema, plans that do not depend on statistics."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from taskrun.adapters.stores.migrations import Migration
from taskrun.adapters.stores.postgres import (
    accounts,
    asks,
    care,
    changes,
    crews,
    keys,
    limited,
    migrating,
    owners,
    peers,
    pruning,
    rates,
    reader,
    turns,
    waiting,
    writer,
)
from taskrun.adapters.stores.postgres.connecting import conninfo_of, place_of
from taskrun.adapters.stores.postgres.database import AsyncConnection, Database, prepare, said
from taskrun.adapters.stores.postgres.lines import line_of
from taskrun.adapters.stores.postgres.migrating import known_migrations
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.stores.rows import birth_of, pairs_json, state_of
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.domain.records import Requirement
from taskrun.domain.status import TaskStatus
from taskrun.testing.contracts.store_cases import claim, ids, make_task, save
from tests.postgres import Databases

SETTINGS = {
    "synchronous_commit": "on",
    "statement_timeout": "10s",
    "lock_timeout": "8s",
    "idle_in_transaction_session_timeout": "5s",
    "default_transaction_isolation": "read committed",
    "transaction_isolation": "read committed",
    "transaction_read_only": "off",
    "client_encoding": "UTF8",
    "enable_seqscan": "off",
}


async def _settings(connection: AsyncConnection) -> dict[str, str]:
    return {
        name: (await (await connection.execute(f"SHOW {name}".encode())).fetchall())[0][0]  # not from outside
        for name in SETTINGS
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('role "x" does not exist', 'role "x" does not exist.'),
        (
            "failed: refused\n\tIs it accepting TCP/IP connections?",
            "failed: refused Is it accepting TCP/IP connections?",
        ),
        ("out of memory.", "out of memory."),
    ],
)
def test_what_libpq_says_is_one_line_that_ends_as_a_sentence(words: str, told: str) -> None:
    assert said(psycopg.OperationalError(words)) == told


async def test_the_settings_are_in_force_on_every_connection_whatever_the_database_says(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        name = admin.info.dbname
        for setting in (
            "synchronous_commit = off",
            "statement_timeout = 0",
            "default_transaction_isolation = serializable",
        ):
            admin.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    database = Database(postgres_url)
    assert await database.write(_settings) == SETTINGS
    assert await database.read(_settings) == SETTINGS
    await database.close()


def test_options_of_the_url_are_kept_and_ours_are_added(postgres_url: str) -> None:
    conninfo = conninfo_of(f"{postgres_url}&options=-csearch_path%3Dmine%20-cstatement_timeout%3D0&application_name=me")
    with psycopg.connect(conninfo) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone() for name in ("search_path", "statement_timeout")
        ]
        assert shown == [("mine",), ("10s",)]
        assert connection.info.get_parameters()["application_name"] == "me"


async def test_each_statement_of_a_commit_is_planned_once_a_connection(postgres_url: str) -> None:
    store = PostgresStore(database := Database(postgres_url))
    for n in range(10):
        await save(store, make_task(n))
        await claim(store)
    executions = await database.write(_executions)
    assert {custom for _, custom in executions} == {0}
    assert max(generic for generic, _ in executions) >= 20
    await store.close()


async def _executions(connection: AsyncConnection) -> list[tuple[int, int]]:
    """Of each statement that is prepared: how often it was executed by its one plan, and by one of that moment."""
    cursor = await connection.execute("SELECT generic_plans, custom_plans FROM pg_prepared_statements")
    return await cursor.fetchall()


async def test_a_schema_of_its_own_is_enough(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA mine")
        admin.execute("CREATE TABLE anything (n int)")
    with pytest.raises(FailedPrecondition, match="belongs to another program"):
        Database(postgres_url)
    store = PostgresStore(Database(f"{postgres_url}&options=-csearch_path%3Dmine"))
    await save(store, make_task(1))
    assert await store.get(ids(1)[0]) == make_task(1)
    await store.close()


def test_two_that_come_at_once_migrate_once(databases: Databases) -> None:
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            url = databases.new()
            list(threads.map(Database, [url] * 8))
            with psycopg.connect(url) as admin:
                applied = admin.execute("SELECT number, checksum FROM migrations ORDER BY number").fetchall()
            assert applied == [(step.number, step.checksum) for step in known_migrations()]


async def test_what_an_older_version_had_is_taken_over(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = known_migrations()
    monkeypatch.setattr(migrating, "known_migrations", lambda: newest[:2])
    prepare(postgres_url)
    monkeypatch.undo()
    tasks = {"waiting": make_task(1), "claimed": make_task(2), "running": make_task(3, TaskStatus.RUNNING)}
    owners = {"waiting": None, "claimed": 4, "running": 4}
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for name, task in tasks.items():
            admin.execute(
                """INSERT INTO tasks (id, status, agent, line, rank, since, owner, birth, state)
                VALUES (%s, %s, 'general', %s, 0, 1, %s, %s, %s)""",
                [
                    task.id,
                    task.status.value,
                    line_of(task.requirement),
                    owners[name],
                    birth_of(task).decode(),
                    state_of(task).decode(),
                ],
            )
    store = PostgresStore(Database(postgres_url))
    assert (await store.recover()).active == (tasks["running"],)
    assert await claim(store) == [tasks["waiting"].id, tasks["claimed"].id]
    await store.close()


async def test_what_waited_before_accounts_were_known_is_counted_in_them(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = known_migrations()
    monkeypatch.setattr(migrating, "known_migrations", lambda: newest[:11])
    prepare(postgres_url)
    monkeypatch.undo()
    needs = Requirement("general", (("a", "b"),), (("client", 'a"n\\n é'), ("label:team", "x, []")))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for number, line in enumerate((needs, Requirement("general"))):
            given = [line_of(line), line.agent, pairs_json(line.selector), pairs_json(line.share)]
            admin.execute("INSERT INTO requirements VALUES (%s, %s, %s, %s)", given)
            admin.execute("INSERT INTO waiting VALUES (%s, 1, %s)", [line_of(line), number + 2])
    Database(postgres_url)
    names = accounts.accounts_of(needs)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(waiting._LOCK.replace("%b", "%s"), [names])
        counted = connection.execute(waiting._COUNT.replace("%b", "%s"), [names, [1] * 3, [9] * 3]).fetchall()
    assert dict(counted) == dict(zip(names, (5, 2, 2), strict=True))


def test_a_migration_that_fails_leaves_nothing(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [*known_migrations(), Migration(99, "0099_bad", "CREATE TABLE t (n int); SELECT 1/0")]
    monkeypatch.setattr(migrating, "known_migrations", lambda: steps)
    with pytest.raises(FailedPrecondition, match="division by zero"):
        Database(postgres_url)
    with psycopg.connect(postgres_url) as admin:
        assert admin.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("INSERT INTO migrations VALUES (99, '0099_later', '')", "made by a newer TaskRun (it has step 0099_later)"),
        ("UPDATE migrations SET checksum = ''", "step 0001_tasks was made from another file"),
    ],
)
def test_a_strange_schema_is_refused(postgres_url: str, harm: str, sentence: str) -> None:
    Database(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(harm.encode())
    with pytest.raises(FailedPrecondition) as raised:
        Database(postgres_url)
    assert sentence in raised.value.message
    assert len(care.check(postgres_url)) == 1


def test_a_database_that_cannot_hold_every_text_is_refused(databases: Databases) -> None:
    with psycopg.connect(databases.server.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE old ENCODING latin1 TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        with pytest.raises(FailedPrecondition, match=r"database old at .*: The database's encoding is LATIN1"):
            Database(databases.server.url("old"))
        admin.execute("DROP DATABASE old")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://taskrun:secret@/none?host=/nowhere", "database none at /nowhere: "),
        ("postgresql://taskrun:secret@127.0.0.1:1/none", "database none at 127.0.0.1 port 1: "),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_without_the_password(url: str, sentence: str) -> None:
    with pytest.raises(FailedPrecondition) as raised:
        Database(url)
    assert raised.value.message.startswith(sentence)
    assert "\n" not in raised.value.message
    assert "secret" not in raised.value.message


def test_a_url_that_is_none_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidArgument) as raised:
        Database("postgresql://me:secret@host?colour=red")
    assert "secret" not in raised.value.message


def test_a_place_has_a_name_even_where_little_is_said() -> None:
    assert place_of("postgresql://") == "the PostgreSQL database"


#: What may be read from end to end: what came with the statement, and tables that stay small.
SMALL = {"counts", "waiting", "owners", "workers"}
#: And by whom what else: rates are those of the last minute.
LOOKED_THROUGH = {"rates._TIDY": {"rates"}}
STATEMENTS = {
    **{name: getattr(changes, name) for name in ("_CREATE", "_SAVE", "_GO_ON", "_TELL", "_KNOW")},
    **{name: getattr(keys, name) for name in ("_KEEP_KEYS", "_DROP_KEYS")},
    **{name: getattr(changes, name) for name in ("_COUNT_WAITING", "_COUNT", "_COUNT_TOGETHER")},
    **{f"waiting.{name}": getattr(waiting, name) for name in ("_LOCK", "_COUNT", "_TIDY")},
    **{name: getattr(writer, name) for name in ("_ALIVE", "_BEFORE", "_BEFORE_AND_BROUGHT")},
    **{name: getattr(asks, name) for name in ("_CLAIM_NEXT", "_CLAIM_TASK", "_CLAIM_EXPIRED", "_CLAIM_STRANDED")},
    **{name: getattr(asks, name) for name in ("_FIND_KEY", "_CLAIM_RUNS", "_RELAY_CANCEL")},
    **{name: getattr(owners, name) for name in ("_DEAD", "_GIVE_BACK", "_RUNNING")},
    **{name: getattr(peers, name) for name in ("_CANCELS", "_WORKERS")},
    **{f"crews.{name}": getattr(crews, name) for name in ("_LOCK", "_LEARN", "_CLEAR", "_COUNT")},
    "limited._CLAIM": limited._CLAIM,
    "turns._LEAVE": turns._LEAVE,
    **{f"rates.{name}": getattr(rates, name) for name in ("_LOCK", "_READ", "_CHARGE", "_TIDY")},
    **{name: getattr(reader, name) for name in ("_TASKS", "_STORY", "_BACKLOG", "_AHEAD", "_NEXT_EXPIRY")},
    **{f"_NEWEST {key}": sql for key, sql in reader._NEWEST.items() if any(key)},
    **{f"_DELETE {n}": sql for n, sql in enumerate(pruning._DELETE) if n},
    "_CANDIDATES": pruning._CANDIDATES,
}


#: The index that a statement must use, of several that would do.
CHOSEN = {
    "_DROP_KEYS": "keys_pkey",
    "waiting._COUNT": "accounts_pkey",
    "waiting._TIDY": "crowds_by_count",
    "_CLAIM_NEXT": "tasks_waiting",
    "_CLAIM_EXPIRED": "tasks_by_expiry",
    "_CLAIM_STRANDED": "tasks_by_holder",
    "_NEXT_EXPIRY": "tasks_by_expiry",
    "_CANCELS": "tasks_cancels",
    "crews._CLEAR": "running_pkey",
    "crews._COUNT": "running_pkey",
    "limited._CLAIM": "tasks_waiting",
    "rates._READ": "rates_pkey",
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_of_the_daily_round_looks_through_a_table(postgres_url: str, name: str) -> None:
    """Although the tables are empty and were never looked at by the server's statistics."""
    database = Database(postgres_url)
    plan = await database.read(_plan, STATEMENTS[name])
    await database.close()
    scanned = {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}
    assert scanned <= SMALL | LOOKED_THROUGH.get(name, set()), plan
    if name in CHOSEN:
        assert CHOSEN[name] in {node.get("Index Name") for node in _nodes(plan)}


@pytest.mark.parametrize("name", ["crews._LEARN", "crews._CLEAR", "crews._COUNT", "rates._READ", "rates._CHARGE"])
async def test_accounts_are_looked_up_one_by_one_although_there_were_few_when_the_server_looked(
    emptied_url: str, name: str
) -> None:
    database = Database(emptied_url)
    with psycopg.connect(emptied_url, autocommit=True) as connection:
        connection.execute("INSERT INTO crews VALUES ('x', 1)")
        connection.execute("INSERT INTO rates VALUES ('x', now())")
        connection.execute("INSERT INTO running VALUES ('x', 't')")
        connection.execute("VACUUM ANALYZE crews, rates, running")
    plan = await database.read(_plan, STATEMENTS[name])
    await database.close()
    scans = [node for node in _nodes(plan) if node.get("Relation Name") in {"crews", "rates", "running"}]
    looked_up = [node for node in scans if "Index Cond" in node or "TID Cond" in node]
    assert looked_up == [node for node in scans if node["Node Type"] != "ModifyTable"] != []


async def test_nobody_behind_a_task_is_looked_at_to_find_its_place(postgres_url: str) -> None:
    database = Database(postgres_url)
    plan = await database.read(_plan, reader._AHEAD)
    await database.close()
    [range_] = [node["Index Cond"] for node in _nodes(plan) if node.get("Index Name") == "tasks_waiting"]
    assert "ROW(rank, id) < ROW(mine.rank, mine.id)" in range_.replace("tasks.", "")


async def _plan(connection: AsyncConnection, sql: str) -> dict[str, Any]:
    """Of the statement as it is prepared, for any values."""
    numbers: dict[str, int] = {}

    def number(place: re.Match[str]) -> str:
        return f"${numbers.setdefault(place[1] or str(len(numbers)), len(numbers) + 1)}"

    text = re.sub(r"%(?:\((\w+)\))?[bs]", number, sql)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE planned AS {text}".encode())
    nothing = f"({', '.join(['NULL'] * len(numbers))})" if numbers else ""
    cursor = await connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE planned{nothing}".encode())
    [[[plan]]] = await cursor.fetchall()
    found: dict[str, Any] = plan["Plan"]
    return found


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


def test_a_requirement_of_any_length_has_a_line() -> None:
    long = tuple((f"key-{n:02}", "x" * 255) for n in range(64))
    assert line_of(Requirement("a", long)) != line_of(Requirement("a", long[1:]))
