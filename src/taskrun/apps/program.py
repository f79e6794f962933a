"""A program whose options are a table of settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from taskrun.apps.configuration import SettingRow, config_variable_of, load, table
from taskrun.apps.exits import FAILED, OK, USAGE, ExitCodes
from taskrun.apps.variables import warn_of_unknown
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, TaskRunError
from taskrun.version import __version__

T = TypeVar("T")

#: What is wrong with the configuration, or with the files it names, is 2; what goes wrong later is 1.
CODES: ExitCodes = {TaskRunError: FAILED, InvalidArgument: USAGE, FailedPrecondition: USAGE}

_EMPTY: tuple[Any, ...] = (None, "", (), {})


#: Reads the settings once more, as the file now is. None without a file: the rest cannot have changed.
Again = Callable[[], T] | None


def program(
    of: type[T], do: Callable[[T, Again[T]], int | None], check: Callable[[T], None], name: str, help: str
) -> click.Command:
    """A command that loads the settings of `of` from everywhere and does `do`, unless it is only to `--check`.

    `check` reads the files that the settings name, as `do` would first of all, and raises as it. It changes nothing.
    """
    config_variable = config_variable_of(name)

    def invoke(config: str | None, only_check: bool, **flags: Any) -> int | None:
        warn_of_unknown(name, os.environ)
        config = config or os.environ.get(config_variable)
        file = Path(config) if config else None
        settings = load(of, flags, os.environ, file)
        if only_check:
            check(settings)
            click.echo("The configuration is valid.")
            return OK
        return do(settings, (lambda: load(of, flags, os.environ, file)) if file else None)

    options: list[click.Parameter] = [
        click.Option(["--config"], metavar="FILE.toml", help=f"Read settings from this file. [{config_variable}]"),
        click.Option(
            ["--check", "only_check"], is_flag=True, help="Check the settings and the files they name, and end."
        ),
        *(_option(row) for row in table(of) if row.flag),
    ]
    command = click.RichCommand(name=name, params=options, callback=invoke, help=help)
    return click.version_option(__version__, message="%(prog)s %(version)s")(command)


def _option(row: SettingRow) -> click.Option:
    help = f"{row.help} [{row.variable}{shown(row.default, '; ')}]"
    if row.kind.metavar:
        return click.Option([row.flag, row.key], metavar=row.kind.metavar, multiple=row.kind.many, help=help)
    return click.Option([f"{row.flag}/--no-{row.flag.removeprefix('--')}", row.key], default=None, help=help)


def shown(default: Any, before: str = "") -> str:
    """A default as a person would write it; "" for a setting that is empty unless it is given."""
    if default in _EMPTY:
        return ""
    if isinstance(default, bool):
        return before + ("on" if default else "off")
    return before + (f"{default:g}s" if isinstance(default, float) else str(default))
