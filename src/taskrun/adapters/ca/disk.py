"""Keys and certificates on disk: private ones are for their owner alone, and nothing is ever half there.

Standard library only, so that the CLI reads its files without loading `cryptography`.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from taskrun.domain.errors import FailedPrecondition

_PRIVATE, _PUBLIC = 0o600, 0o644


class FileMissing(FailedPrecondition):
    """There is no such file."""


def read_public(path: Path) -> bytes:
    """A certificate file. Raises `FileMissing`, or `FailedPrecondition` if it cannot be read."""
    return _read(path, _PUBLIC)


def read_private(path: Path) -> bytes:
    """A key file. Raises `FailedPrecondition` as `read_public`, and when anybody but its owner may touch it."""
    return _read(path, _PRIVATE)


def create_all(directory: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Writes new files, all or none, and returns their paths; names ending in `.key` are private (0600).

    Raises `FailedPrecondition` naming the first that exists already, having written nothing.
    """
    paths = {directory / name: content for name, content in files.items()}
    for path in paths:
        if os.path.lexists(path):
            raise _exists(path)
    made: list[Path] = []
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content in paths.items():
            handle = _open_new(path)
            made.append(path)
            _fill(handle, content, _mode(path.name))
        _sync(directory)
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise _exists(Path(error.filename)) from error
        if isinstance(error, OSError):
            raise _cannot_write(directory, error) from error
        raise
    return made


class Replacement:
    """Files that take their places together, or not at all: `with Replacement(d) as new: new.add(...); new.commit()`.

    Raises `FailedPrecondition` when the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._staged: dict[Path, Path] = {}

    def __enter__(self) -> Replacement:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self._directory, error) from error
        return self

    def add(self, name: str, content: bytes) -> None:
        """Stages a file under a name of its own; one that ends in `.key` is private (0600)."""
        target = self._directory / name
        try:
            if target.is_dir():
                raise IsADirectoryError(f"{target} is a directory")
            staged = self._directory / f".{name}.{os.urandom(8).hex()}"
            handle = _open_new(staged)
            self._staged[target] = staged
            _fill(handle, content, _mode(name))
        except OSError as error:
            raise _cannot_write(self._directory, error) from error

    def commit(self) -> None:
        """Puts the staged files where they belong, over older ones."""
        try:
            for target, staged in self._staged.items():
                staged.replace(target)
            _sync(self._directory)
        except OSError as error:
            raise _cannot_write(self._directory, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for staged in self._staged.values():
            staged.unlink(missing_ok=True)


def put(path: Path, content: bytes, *, private: bool) -> None:
    """Writes a file in place of an older one: whoever reads, and whatever dies, finds the one or the other, whole.

    Raises `FailedPrecondition` when its directory cannot be written.
    """
    staged = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        _fill(_open_new(staged), content, _PRIVATE if private else _PUBLIC)
        take_place(staged, path)
    except OSError as error:
        raise _cannot_write(path.parent, error) from error
    finally:
        staged.unlink(missing_ok=True)


def take_place(staged: Path, path: Path) -> None:
    """The file `staged`, which is in the same directory, gets this name for good. Raises `FailedPrecondition`."""
    try:
        staged.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _cannot_write(path.parent, error) from error


def _read(path: Path, mode: int) -> bytes:
    try:
        with path.open("rb") as file:
            # Of the file that was opened, not of what has the name by now.
            status = os.fstat(file.fileno())
            if mode == _PRIVATE and stat.S_IMODE(status.st_mode) & 0o077:
                raise FailedPrecondition(f"Others may read the key {path}: run chmod 600 {shlex.quote(str(path))}.")
            return file.read()
    except FileNotFoundError as error:
        raise FileMissing(f"{path} is missing.") from error
    except OSError as error:
        raise FailedPrecondition(f"{path} cannot be read: {error.strerror or error}.") from error


def _open_new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)


def _fill(handle: int, content: bytes, mode: int) -> None:
    with open(handle, "wb") as file:
        # Whatever the umask: certificates are there to be read.
        os.fchmod(handle, mode)
        file.write(content)
        file.flush()
        os.fsync(handle)


def _sync(directory: Path) -> None:
    """Makes the names durable, as `fsync` did for the contents: an enrolment cannot be repeated."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(name: str) -> int:
    return _PRIVATE if name.endswith(".key") else _PUBLIC


def _exists(path: Path) -> FailedPrecondition:
    return FailedPrecondition(f"{path} exists already: nothing was written.")


def _cannot_write(directory: Path, error: OSError) -> FailedPrecondition:
    return FailedPrecondition(f"{directory} cannot be written: {error.strerror or error}.")
