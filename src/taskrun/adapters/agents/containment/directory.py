"""The place on disk that belongs to one run."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A directory that nobody else may enter. It is gone after the run, with all that the run put there, unless it is
    kept for a session."""

    root: Path

    @classmethod
    def make(cls, parent: Path) -> RunDirectory:
        """A fresh one, mode 0700, below `parent`, which is made if need be. Raises OSError."""
        directory = cls.reserve(parent)
        directory.furnish()
        return directory

    @classmethod
    def reserve(cls, parent: Path) -> RunDirectory:
        """As `make`, without anything in it yet."""
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The name is short: programs put sockets into their temporary directory, whose paths end at 107 bytes.
        return cls(Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).absolute())

    def furnish(self) -> None:
        """Makes what is missing in it. Raises OSError."""
        for part in (self.home, self.temporary, self.work):
            part.mkdir(mode=0o700, exist_ok=True)

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
        delete_tree(self.root)


#: How the name of a run's directory begins.
PREFIX = "run-"


def delete_tree(root: Path) -> None:
    """Deletes a directory as far as it may be, with what was write-protected in it."""
    for folder, names, _ in os.walk(root):
        for path in (Path(folder, name) for name in names):
            # A link's target may be anybody's.
            if not path.is_symlink():
                _unprotect(path)
    shutil.rmtree(root, ignore_errors=True)


def _unprotect(folder: Path) -> None:
    try:
        folder.chmod(0o700)
    except OSError:
        pass  # somebody else's: what can be deleted is deleted
