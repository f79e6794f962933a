"""The place on disk that belongs to one run."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A directory that nobody else may enter. It is gone after the run, with all that the run put there."""

    root: Path

    @classmethod
    def make(cls, parent: Path) -> RunDirectory:
        """A fresh one, mode 0700, below `parent`, which is made if need be. Raises OSError."""
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The name is short: programs put sockets into their temporary directory, whose paths end at 107 bytes.
        directory = cls(Path(tempfile.mkdtemp(prefix="run-", dir=parent)).absolute())
        for part in (directory.home, directory.temporary, directory.work):
            part.mkdir(mode=0o700)
        return directory

    @property
    def home(self) -> Path:
        """What the program takes for its user's home."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """Its own /tmp."""
        return self.root / "tmp"

    @property
    def work(self) -> Path:
        """Where it starts."""
        return self.root / "work"

    def delete(self) -> None:
        """Deletes what is left of it."""
        shutil.rmtree(self.root, ignore_errors=True)
