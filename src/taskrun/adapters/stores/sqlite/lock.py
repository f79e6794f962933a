"""One process a database: a lock file beside it, held for life."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from taskrun.domain.errors import FailedPrecondition


class StoreLock:
    """The lock of `PATH.lock`. The system releases it with the process, so that a killed one is no obstacle.

    The file stays: to remove it would let two processes hold locks of two files under one name.
    """

    def __init__(self, database: Path) -> None:
        """Takes it. Raises `FailedPrecondition`, naming the holder's process id, if it is held."""
        path = database.with_name(f"{database.name}.lock")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise FailedPrecondition(
                f"{database} is in use by process {holder or '(unknown)'}: only one at a time can have it."
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets others have it; doing it twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
