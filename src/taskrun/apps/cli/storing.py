"""`taskrun store`: looking after the database."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import json_command
from taskrun.apps.cli.values import Duration
from taskrun.apps.configuration import config_variable_of
from taskrun.apps.exits import FAILED, OK
from taskrun.apps.extras import postgres_extra
from taskrun.apps.process import ENDS, ctrl_c_raises
from taskrun.domain.batch import Retention
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.status import TaskStatus

if TYPE_CHECKING:
    from taskrun.ports.store import Store

#: Tasks that are removed in one step.
_STEP = 500
_CONFIG_VARIABLE = config_variable_of("taskrun-control-plane")

Function = Callable[..., Any]


@click.group("store")
@json_command
def store(as_json: bool) -> None:
    """Looks after the database that a control plane keeps its tasks in."""


def _database_command(function: Function) -> Function:
    """Tells a command the database's path, by the settings of the control plane, after `as_json`."""

    @wraps(function)
    def invoke(as_json: bool, data_dir: str | None, place: str | None, config: str | None, **more: Any) -> Any:
        return function(as_json, _place({"data_dir": data_dir, "store": place}, config), **more)

    options = (
        click.option("--data-dir", metavar="PATH", help="As the control plane has it. [TASKRUN_DATA_DIR; data]"),
        click.option("--store", "place", metavar="PLACE", help="As the control plane has it. [TASKRUN_STORE]"),
        click.option("--config", metavar="FILE.toml", help=f"The control plane's file. [{_CONFIG_VARIABLE}]"),
    )
    command = json_command(invoke)
    for option in reversed(options):
        command = option(command)
    return command


def _place(flags: dict[str, Any], config: str | None) -> Path | str:
    """The database's file, or the URL of one in PostgreSQL."""
    from taskrun.apps.configuration import load
    from taskrun.apps.settings import ControlPlaneSettings

    config = config or os.environ.get(_CONFIG_VARIABLE)
    settings = load(ControlPlaneSettings, flags, os.environ, Path(config) if config else None)
    if settings.store.kind == "memory":
        raise InvalidArgument("The memory store has nothing to look after.")
    return settings.store.url or settings.database_path


def _name(place: Path | str) -> str:
    """What a person is told of it: a URL may hold a password."""
    return str(place) if isinstance(place, Path) else "The PostgreSQL database"


@store.command("check")
@_database_command
def check(as_json: bool, place: Path | str) -> int:
    """Reads all of the database and says what is wrong with it: exit code 1 if anything is. A control plane may run."""
    findings = _findings(place)
    if as_json:
        showing.as_json({"database": _name(place), "findings": findings})
    else:
        for finding in findings:
            click.echo(showing.line(finding))
        showing.note(f"{_name(place)} is {'not sound' if findings else 'sound'}.")
    return FAILED if findings else OK


def _findings(place: Path | str, *, only_schema: bool = False) -> list[str]:
    if isinstance(place, Path):
        from taskrun.adapters.stores.sqlite import care

        return care.check_schema(place) if only_schema else care.check(place)
    with postgres_extra():
        from taskrun.adapters.stores.postgres.care import check, check_schema
    return check_schema(place) if only_schema else check(place)


@store.command("backup")
@click.argument("file")
@_database_command
def backup(as_json: bool, place: Path | str, file: str) -> None:
    """Copies the database into a new file, as it is at one moment. A control plane may run, and goes on meanwhile."""
    from taskrun.adapters.stores.sqlite.care import backup

    if not isinstance(place, Path):
        raise InvalidArgument("PostgreSQL has its own tool for this: pg_dump --format=custom --file=FILE URL.")
    # A copy that is half made is taken back, whoever ends this command.
    with ctrl_c_raises(*ENDS):
        backup(place, Path(file))
    if as_json:
        showing.as_json({"database": str(place), "backup": file, "bytes": Path(file).stat().st_size})
    else:
        showing.note(f"{file} is a copy of {place}.")


@store.command("prune")
@click.option("--older-than", "age_ms", type=Duration(), help="Tasks that ended longer ago than this.")
@click.option("--max-size", metavar="SIZE", help="The oldest, until the store takes no more than this: 500MiB, 10GiB.")
@_database_command
def prune(as_json: bool, place: Path | str, age_ms: int | None, max_size: str | None) -> int:
    """Removes finished tasks with their output. On SQLite no control plane may run; a running one does it by itself.

    It leaves the schema alone: a database that is not exactly this version's is refused, with exit code 1.

    A task that was created with an idempotency key stays for a day. The file does not shrink: what is free in it is
    used again, and a backup leaves it out.
    """
    from taskrun.apps.kinds import SIZE

    try:
        max_bytes = SIZE.read(max_size) if max_size else 0
    except ValueError as error:
        raise InvalidArgument(f"--max-size must be {SIZE.rule}.") from error
    if age_ms is None and not max_bytes:
        raise InvalidArgument("Say what is to go: --older-than, --max-size, or both; a size of 0 is no limit.")
    # What opens a store brings its schema up to date, under control planes of an older version that run on it.
    if findings := _findings(place, only_schema=True):
        for finding in findings:
            showing.note(f"{_name(place)}: {finding}")
        return FAILED
    removed = asyncio.run(_prune(place, Retention.at(int(time.time() * 1000), age_ms or 0, max_bytes)))
    if as_json:
        showing.as_json({"database": _name(place), "removed": removed})
    else:
        showing.note(f"{removed} finished {'task is' if removed == 1 else 'tasks are'} removed.")
    return OK


async def _prune(place: Path | str, retention: Retention) -> int:
    store = _opened(place)
    try:
        removed = Counter[TaskStatus]()
        while step := await store.prune(retention, _STEP):
            removed.update(step)
        return removed.total()
    finally:
        await store.close()


def _opened(place: Path | str) -> Store:
    if isinstance(place, Path):
        from taskrun.adapters.stores.sqlite.database import Database
        from taskrun.adapters.stores.sqlite.store import SqliteStore

        return SqliteStore(Database(place))
    with postgres_extra():
        from taskrun.adapters.stores.postgres import database
        from taskrun.adapters.stores.postgres.store import PostgresStore
    return PostgresStore(database.Database(place))
