"""Directories as a whole: how much is in one, and another like it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path


def size_of(root: Path) -> int:
    """Bytes of all files below `root`."""
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(root) for name in names)


def copy_tree(source: Path, target: Path) -> None:
    """Copies files, links and directories; sockets and pipes mean nothing without who made them. Raises OSError."""
    shutil.copytree(source, target, symlinks=True, ignore=_unusual, dirs_exist_ok=True)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _unusual(folder: str, names: list[str]) -> Iterator[str]:
    return (name for name in names if not _usual(Path(folder, name).lstat().st_mode))


def _usual(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
