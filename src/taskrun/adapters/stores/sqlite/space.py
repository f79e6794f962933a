"""Whether the disk has room for new tasks."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Bytes of the file system that new tasks leave to those under way: for the write-ahead log, and for the output
#: of runs that cannot be told to wait.
RESERVE = 256 * 1024 * 1024
#: Seconds between two looks at the disk.
_LOOK = 0.25
#: Seconds without room after the disk refused a write, whatever it says is free: it may count otherwise.
_REFUSED = 5.0


class Space:
    """Looks at the file system now and then. To ask costs about a microsecond, and never fails."""

    def __init__(self, path: Path, reserve: int) -> None:
        self._path, self._reserve = path, reserve
        self._room = True
        self._look_at = 0.0

    @property
    def room(self) -> bool:
        """See `Store.room`."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            self._room = self._free() > self._reserve
        return self._room

    def was_refused(self) -> None:
        """A write found the disk full."""
        self._room = False
        self._look_at = time.monotonic() + _REFUSED

    def _free(self) -> int:
        try:
            disk = os.statvfs(self._path)
        except OSError:
            return 0
        return disk.f_bavail * disk.f_frsize
