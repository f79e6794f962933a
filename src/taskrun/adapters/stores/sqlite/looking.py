"""Whose file it is, seen before anything is done with it: what is not ours stays as it is."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from taskrun.adapters.stores.sqlite.connection import has_log, open_onlooker
from taskrun.adapters.stores.sqlite.failures import code_of
from taskrun.adapters.stores.sqlite.migrating import applied
from taskrun.domain.errors import FailedPrecondition


def real(path: Path) -> Path:
    """The file that is meant, under its one name: SQLite keeps its log beside that, not beside a symbolic link to it.

    It is absolute, so SQLite takes no name for one of its own (`:memory:`, `file:...`).
    """
    return Path(os.path.realpath(path))


def must_be_ours(path: Path) -> None:
    """Changes no byte and no mode, and makes no file. What is not there, or empty, may become ours.

    Raises `FailedPrecondition`, naming the file, if it is no SQLite database, or another program's.
    """
    if not os.path.isfile(path):
        # A directory is refused by whoever opens it as a file.
        if os.path.exists(path) and not os.path.isdir(path):
            raise FailedPrecondition(f"{path} is no file.")
        return
    try:
        meant = real(path)
        with closing(open_onlooker(meant, logged=has_log(meant))) as connection:
            applied(connection)
    except FailedPrecondition as error:
        raise FailedPrecondition(f"{path}: {error.message}") from error
    except sqlite3.Error as error:
        if code_of(error) == sqlite3.SQLITE_NOTADB:
            raise FailedPrecondition(f"{path} is no SQLite database.") from error
        # Something else is the matter with it: whoever opens it says what.
