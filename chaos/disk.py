"""A small disk that can be filled up."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

MIB = 1024 * 1024
_BLOCK = b"\0" * MIB


class NotPossible(Exception):
    """What a round needs is not to be had on this machine."""


class SmallDisk:
    """A file system in memory of so many bytes; a context manager."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self._size = path, size
        self._ballast = path / "ballast"

    def __enter__(self) -> Self:
        """Raises `NotPossible`."""
        self.path.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self._size},mode=0700", "tmpfs", str(self.path)]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            raise NotPossible("nobody may mount a file system here")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lazily: whoever was killed a moment ago may still hold a file.
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    @property
    def free(self) -> int:
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Leaves at most so many bytes free."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while (more := self.free - leave) > 0:
                    ballast.write(_BLOCK[:more])
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def clear(self) -> None:
        """Takes the ballast away."""
        self._ballast.unlink(missing_ok=True)
