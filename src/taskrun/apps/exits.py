"""How a program ends: with an exit code and, if something is wrong, one line on standard error."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping

import rich_click as click

from taskrun.apps.process import OutputFailed
from taskrun.domain.errors import TaskRunError

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3
#: What was asked may have been done, but its answer could not be written.
UNHEARD = 4
INTERRUPTED = 130
#: The reader of standard output has left: what a shell calls the end by SIGPIPE.
UNREAD = 141
#: Set, it lets a bug show its traceback.
TRACEBACK = "TASKRUN_TRACEBACK"

#: How a program ends for an error: the nearest of its classes counts. `TaskRunError` must be in it.
ExitCodes = Mapping[type[TaskRunError], int]


def run(command: click.Command, name: str, codes: ExitCodes) -> int:
    """Runs a command to its exit code; a command returns its code, None being 0. Never shows a traceback."""
    code = _run(command, name, codes)
    try:
        # Here and not at the interpreter's end, where nobody could say that it failed.
        sys.stdout.flush()
    except OutputFailed as error:
        return code or _unheard(name, error)
    return code


def _run(command: click.Command, name: str, codes: ExitCodes) -> int:
    try:
        return command.main(prog_name=name, standalone_mode=False) or OK
    except OutputFailed as error:
        return _unheard(name, error)
    except click.ClickException as error:
        return _said(name, error.format_message(), USAGE)
    except TaskRunError as error:
        return _said(name, error.message, next(codes[kind] for kind in type(error).__mro__ if kind in codes))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        return _said(name, f"this is a bug: {type(error).__name__}: {error} ({TRACEBACK}=1 shows where)", FAILED)


def _unheard(name: str, error: OutputFailed) -> int:
    if error.number == errno.EPIPE:
        return UNREAD
    return _said(name, f"Standard output cannot be written: {error}.", UNHEARD)


def _said(name: str, sentence: str, code: int) -> int:
    click.echo(f"{name}: {' '.join(sentence.split())}", err=True)
    return code
