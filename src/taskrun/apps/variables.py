"""Every variable that a part of TaskRun reads. The parts share an environment, so each knows those of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import rich_click as click

from taskrun.apps.cli.connection import Connection
from taskrun.apps.configuration import PREFIX, config_variable_of, meant, table
from taskrun.apps.exits import TRACEBACK

_PROGRAMS = ("taskrun-control-plane", "taskrun-worker")
#: The command line's, and what the programs that are agents see.
_COMMON = {f"{PREFIX}{item.name.upper()}" for item in fields(Connection)} | {
    "TASKRUN_RUN_ID",
    "TASKRUN_TASK_ID",
    TRACEBACK,
    *map(config_variable_of, _PROGRAMS),
}


def warn_of_unknown(program: str, names: Iterable[str]) -> None:
    """One line on standard error for each of ours among these names that nothing reads: it is likely misspelt."""
    suspects = sorted(name for name in names if name.startswith(PREFIX) and name not in _COMMON)
    known = _COMMON | _of_settings() if suspects else _COMMON
    for name in suspects:
        if name not in known:
            click.echo(f"{program}: nothing reads the variable {name!a}.{meant(name, known)}", err=True)


def _of_settings() -> set[str]:
    # Late, for this takes longer to load than all of the command line, which seldom needs it.
    from taskrun.apps.settings import ControlPlaneSettings, WorkerSettings

    return {row.variable for of in (ControlPlaneSettings, WorkerSettings) for row in table(of) if row.variable}
