"""The group of all commands. Each is loaded when it is used: a list must be on the screen in a quarter of a second."""

from __future__ import annotations

import os
from importlib import import_module

import rich_click as click

from taskrun.apps.cli.connection import global_options
from taskrun.apps.exits import UNREACHABLE, USAGE, ExitCodes
from taskrun.apps.variables import warn_of_unknown
from taskrun.domain.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, TaskRunError
from taskrun.version import __version__

#: What the caller got wrong is 2; whatever keeps the control plane from doing it is 3.
CODES: ExitCodes = {
    TaskRunError: UNREACHABLE,
    InvalidArgument: USAGE,
    NotFound: USAGE,
    AlreadyExists: USAGE,
    FailedPrecondition: USAGE,
}

#: Where each command is at home; the help shows them in this order.
HOMES = {
    "create-task": "creating",
    "watch-task": "watching",
    "get-task": "tasks",
    "list-tasks": "tasks",
    "explain": "explaining",
    "cancel-task": "tasks",
    "continue-task": "continuing",
    "release-task": "creating",
    "list-workers": "workers",
    "create-token": "workers",
    "certs": "certificates",
    "revoke-worker": "certificates",
    "revoke-client": "certificates",
    "create-key": "keys",
    "list-keys": "keys",
    "revoke-key": "keys",
    "store": "storing",
    "init": "certificates",
    "create-client": "clients",
    "dev": "dev",
    "demo": "demo",
    "completion": "completion",
}


class LazyGroup(click.RichGroup):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, in the order of `HOMES`."""
        return list(HOMES)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As usual, and with the name that is likely meant by one that there is none of."""
        name = args[0]
        if name in HOMES or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from taskrun.apps.configuration import meant

        raise click.UsageError(f"No such command {name!r}.{meant(name, HOMES) or ' taskrun --help lists them.'}")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of that name."""
        if cmd_name not in HOMES:
            return None
        command = getattr(import_module(f"taskrun.apps.cli.{HOMES[cmd_name]}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup)
@global_options
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """TaskRun: tasks for AI agents on remote workers.

    Exit codes: 0 done, 1 the task failed or was cancelled, 2 wrong usage, 3 the control plane cannot be reached or does
    not allow it, 4 the answer could not be written, 130 Ctrl-C, 141 the reader of the answer has left.
    """
    warn_of_unknown("taskrun", os.environ)
