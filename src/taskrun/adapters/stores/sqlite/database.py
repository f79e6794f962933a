"""One database file with its threads: one that writes, a few that read. Stores share it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock, local
from typing import Concatenate, ParamSpec, TypeVar

from taskrun.adapters.stores.sqlite.connection import make_private_file, open_reader, open_writer
from taskrun.adapters.stores.sqlite.failures import code_of, store_failed, translated
from taskrun.adapters.stores.sqlite.lock import StoreLock
from taskrun.adapters.stores.sqlite.looking import must_be_ours, real
from taskrun.adapters.stores.sqlite.migrating import migrate
from taskrun.adapters.stores.sqlite.space import RESERVE, Space
from taskrun.domain.errors import FailedPrecondition, StoreFailed

#: The first SQLite with the `->>` operator.
_OLDEST = (3, 38, 0)
#: Threads that read, each with a connection of its own.
_READERS = 3

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Database:
    """Runs work on the database's connections, off the event loop. What fails raises `StoreFailed`.

    A caller that is cancelled does not stop work that has begun: it is done as a whole, or not at all.
    """

    def __init__(self, path: Path, reserve: int = RESERVE) -> None:
        """Opens the file, making it and its directory if need be, locks it and brings its schema up to date.

        `reserve` is how many bytes of its disk must be free for `space.room`.

        Raises `FailedPrecondition`, naming the file, if it cannot, and `StoreFailed` if its disk does not work. What is
        not ours is left as it is, and nothing is made beside it.
        """
        must_be_ours(path)
        self._path = path = real(path)
        self._lock = _locked(path)
        try:
            self.writer = _opened(path)
        except BaseException:
            self._lock.release()
            raise
        self._writing = ThreadPoolExecutor(1, "sqlite writer")
        self._reading = ThreadPoolExecutor(_READERS, "sqlite reader")
        self._readers: list[sqlite3.Connection] = []
        self._own = local()
        #: Held to add a reader, or to close.
        self._changing = Lock()
        self._closed = False
        self.space = Space(path, reserve)

    async def write(self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Runs work in the writer's thread, in the order of the calls. It uses `writer`."""
        self._must_be_open()
        loop = asyncio.get_running_loop()
        with translated():
            try:
                return await loop.run_in_executor(self._writing, lambda: work(*args, **kwargs))
            except sqlite3.Error as error:
                if code_of(error) == sqlite3.SQLITE_FULL:
                    self.space.was_refused()
                raise

    async def read(
        self,
        work: Callable[Concatenate[sqlite3.Connection, Given], Result],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Result:
        """Runs work in a reader's thread, with a connection that sees all commits that have returned."""
        self._must_be_open()
        loop = asyncio.get_running_loop()
        with translated():
            return await loop.run_in_executor(self._reading, lambda: work(self._reader(), *args, **kwargs))

    async def close(self) -> None:
        """Ends what is under way, closes the file and unlocks it; doing it twice is harmless."""
        if not self._closed:
            self._closed = True
            await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        try:
            # The last one to close moves the log into the database.
            for connection in (*self._readers, self.writer):
                connection.close()
        finally:
            self._lock.release()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = open_reader(self._path)
            with self._changing:
                self._readers.append(connection)
        return connection

    def _must_be_open(self) -> None:
        if self._closed:
            raise StoreFailed("The store is closed.")


def _locked(path: Path) -> StoreLock:
    try:
        make_private_file(path)
        return StoreLock(path)
    except OSError as error:
        raise FailedPrecondition(f"The database {path} cannot be opened: {error.strerror or error}.") from error


def _opened(path: Path) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < _OLDEST:
        raise FailedPrecondition(
            f"SQLite {sqlite3.sqlite_version} is too old: TaskRun needs {'.'.join(map(str, _OLDEST))}."
        )
    try:
        connection = open_writer(path)
        try:
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection
    except FailedPrecondition as error:
        raise FailedPrecondition(f"{path}: {error.message}") from error
    except sqlite3.Error as error:
        raise store_failed(error) from error
