"""A file that has its name only when it is whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from taskrun.domain.errors import AlreadyExists, FailedPrecondition

#: How the name ends that a file has until then.
UNFINISHED = ".unfinished"
#: What SQLite takes for the newest part of a database, or for what is to be undone in it, if it is beside it.
_BELONGINGS = ("-journal", "-wal")


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Within it an empty file (0600) has a name of its own beside `target`; at its end that is on the disk as `target`.

    It takes the place of nothing. Of a block that fails nothing is left, and of a process that is killed what is named
    `TARGET.*.unfinished`, which stands in nobody's way. Raises `AlreadyExists` and `FailedPrecondition`.
    """
    try:
        _must_be_free(target)
        made = target.with_name(f"{target.name}.{token_hex(8)}{UNFINISHED}")
        try:
            _make(made)
            yield made
            _sync(made)
            _give_name(made, target)
        finally:
            _remove(made)
    except FileExistsError as error:
        raise AlreadyExists(f"{error.filename2 or error.filename} exists already: name a new file.") from error
    except OSError as error:
        raise FailedPrecondition(f"{target} cannot be made: {error.strerror or error}.") from error


def _must_be_free(target: Path) -> None:
    """Before the work is done: the name is given later, and by then it may be taken all the same.

    What a killed SQLite left of another file of this name would be played into the new one when it is opened.
    """
    for name in (str(target), *(f"{target}{end}" for end in _BELONGINGS)):
        if os.path.lexists(name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _give_name(made: Path, target: Path) -> None:
    linked = _linked(made, target)
    try:
        if not linked:
            made.replace(target)
        _sync(target.absolute().parent)
    except BaseException:
        target.unlink()
        raise


def _linked(made: Path, target: Path) -> bool:
    """Gives the file its name as a second one. Where a file system knows none, the name is an empty file's of ours."""
    try:
        os.link(made, target)
    except FileExistsError:
        raise
    except OSError:
        _make(target)
        return False
    return True


def _make(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(made: Path) -> None:
    for name in (str(made), *(f"{made}{end}" for end in _BELONGINGS)):
        # Where nothing could be made nothing can be removed, and what the block failed of is to be told.
        with suppress(OSError):
            os.unlink(name)
