"""Reading a database where nothing can be written: in a snapshot, under a mount that is read-only, as another user.

SQLite's readers write, too: into the index of the log (-shm), which they make if need be. What can be read without:

A log with its index. SQLite takes both as they are, and makes an index in memory where nobody keeps the other up to
date. A control plane may run, and write by another mount: its locks hold here.

No log. A control plane has one as long as it runs, so none does, and the file is all there is: it is read as immutable,
without locks. One that starts meanwhile has changed the file, or has its log beside it, when all is read: then what was
read is worth nothing, and that is said.

Not a log without its index: without the log, the file is an old one or none.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from taskrun.adapters.stores.sqlite.connection import has_log, open_onlooker
from taskrun.domain.errors import FailedPrecondition, StoreFailed


def can_be_written(path: Path) -> bool:
    """Whether this process may write the file, and make others beside it."""
    return all(os.access(each, os.W_OK) for each in (path, path.absolute().parent))


@contextmanager
def reading_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that writes nothing. What was read counts when the block has ended: it may raise `StoreFailed` then.

    Raises `FailedPrecondition` if the database cannot be read without writing. Raises `sqlite3.Error`.
    """
    logged = has_log(path)
    if not logged and os.path.exists(f"{path}-wal"):
        raise FailedPrecondition(
            f"{path} cannot be read where nothing can be written, as its newest part is in {path.name}-wal: "
            "copy both to where they can be."
        )
    before = _version(path)
    try:
        with closing(open_onlooker(path, logged=logged)) as connection:
            yield connection
    finally:
        if not logged and _version(path) != before:
            raise StoreFailed(f"{path} was written while it was read without locks: do it again.")


def _version(path: Path) -> tuple[object, ...]:
    file = os.stat(path)
    return file.st_ino, file.st_size, file.st_mtime_ns, os.path.exists(f"{path}-wal")
