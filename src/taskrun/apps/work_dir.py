"""A worker's directory for its runs, where none is named: a temporary one that does not outlive its worker for long.

The worker holds a lock on its directory, which the system takes away with the process, however that ends. So a
directory of this kind whose lock can be had belongs to nobody any more: the next worker of the same user deletes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "taskrun-worker-"


@contextmanager
def temporary_work_dir() -> Iterator[Path]:
    """A new one, for this user alone. Those of dead workers are deleted first."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        delete_if_abandoned(path)
    directory, lock = _made()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _made() -> tuple[Path, int]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = _locked(directory)
        # Before it was locked, a worker that starts at the same moment may have taken it for abandoned.
        if lock is not None and directory.exists():
            return directory, lock
        if lock is not None:
            os.close(lock)


def delete_if_abandoned(path: Path) -> None:
    """Deletes such a directory with all that is in it, if it is this user's and no worker lives that holds it."""
    lock = _locked(path)
    if lock is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked(path: Path) -> int | None:
    """The directory, open and locked; None if it is none, another user's, or a living worker's."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
    except OSError:
        pass
    os.close(handle)
    return None
