"""One database with its connections: one that commits batches, a few for everything else. Stores share it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from taskrun.adapters.stores.postgres.connecting import WRITING, conninfo_of, place_of
from taskrun.adapters.stores.postgres.failures import DISK_FULL, translated
from taskrun.adapters.stores.postgres.migrating import migrate
from taskrun.domain.errors import FailedPrecondition, StoreFailed

#: The first PostgreSQL that everything is tested with.
_OLDEST = 14_00_00
#: Connections for reads.
_READERS = 4
#: Seconds that a read waits for a connection.
_PATIENCE = 5.0
#: Seconds for one piece of work. The server gives up earlier, if it is there at all.
_MOST = 30.0
#: Times that one piece of work is begun again because of a deadlock. The server needs a second to see one.
_DEADLOCKS = 3
#: Seconds that it pauses before: a row that is free again is had by who asks first, and the other has to wake up.
_OTHERS_FIRST = 0.1
#: Seconds without room after the server's disk was full.
_REFUSED = 5.0
#: Rows over which each count is spread; the last is for those who remove, beside the batches.
SHARDS = 16

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]
Given = ParamSpec("Given")
Result = TypeVar("Result")
Work = Callable[Concatenate[AsyncConnection, Given], Awaitable[Result]]


class Database:
    """Runs work on the database's connections. What fails raises `StoreFailed`; what follows finds a new connection.

    A caller that is cancelled does not stop work that has begun: it is done as a whole, or not at all.
    """

    def __init__(self, url: str) -> None:
        """Connects once, to see whether the database is fit for use, and brings its schema up to date.

        Raises `FailedPrecondition`, saying why, if it cannot.
        """
        #: What a connection is made with.
        self.conninfo = conninfo_of(url)
        self._writer_conninfo = conninfo_of(url, WRITING)
        prepare(url)
        #: The rows of the counts that are this control plane's own.
        self.shard = random.randrange(SHARDS - 1)  # noqa: S311  # not a secret
        self._writer: AsyncConnection | None = None
        self._pool: AsyncConnectionPool[AsyncConnection] | None = None
        self._writing = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._full_until = 0.0
        self._closed = False

    @property
    def room(self) -> bool:
        """See `Store.room`. How full the server's disk is shows when it refuses a write."""
        return not self._full_until or time.monotonic() >= self._full_until

    async def write(self, work: Work[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Runs work on the connection for batches, one at a time. The work begins and ends its transaction."""
        self._must_be_open()
        return await self._whole(self._write(lambda connection: work(connection, *args, **kwargs)))

    async def change(self, work: Work[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Runs work on a connection of its own, as one transaction, beside batches."""

        self._must_be_open()
        return await self._whole(self._change(lambda connection: work(connection, *args, **kwargs)))

    async def read(self, work: Work[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Runs work on a connection that sees all commits that have returned."""
        self._must_be_open()
        return await self._read(lambda connection: work(connection, *args, **kwargs))

    async def close(self) -> None:
        """Ends what is under way and closes the connections; doing it twice is harmless."""
        if not self._closed:
            self._closed = True
            await self._whole(self._close())

    async def _whole(self, work: Awaitable[Result]) -> Result:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Nobody is left to hear how it ended.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """What the server has ended because it and another's work waited for each other is done again: nothing of it
        was, and the other goes first."""
        async with self._writing:
            with translated():
                for _ in range(_DEADLOCKS):
                    with suppress(psycopg.errors.DeadlockDetected):
                        return await self._write_once(work)
                    await asyncio.sleep(_OTHERS_FIRST)
                return await self._write_once(work)

    async def _write_once(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        try:
            async with asyncio.timeout(_MOST):
                connection = await self._writer_connection()
                return await work(connection)
        except BaseException as error:
            await self._clean_up()
            if isinstance(error, psycopg.Error) and error.sqlstate == DISK_FULL:
                self._full_until = time.monotonic() + _REFUSED
            raise

    async def _writer_connection(self) -> AsyncConnection:
        if self._writer is None:
            # Whoever commits prepares its statements itself.
            self._writer = await psycopg.AsyncConnection.connect(
                self._writer_conninfo, autocommit=True, prepare_threshold=None
            )
        return self._writer

    async def _clean_up(self) -> None:
        """Leaves a connection that can be used, or none."""
        connection = self._writer
        if connection is None:
            return
        try:
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                async with asyncio.timeout(1):
                    await connection.execute("ROLLBACK")
            if connection.info.transaction_status is TransactionStatus.IDLE:
                return
        except (psycopg.Error, TimeoutError):
            pass
        self._writer = None
        await connection.close()

    async def _read(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Does it again with another connection where the server has ended one meanwhile: there may be several."""
        with translated():
            pool = await self._opened()
            for _ in range(_READERS):
                async with pool.connection() as connection:
                    try:
                        return await work(connection)
                    except psycopg.OperationalError:
                        if not connection.closed:
                            raise
            async with pool.connection() as connection:
                return await work(connection)

    async def _change(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Whether a commit was done on a connection that broke nobody knows: so it is tried on one that lives, once."""
        with translated():
            pool = await self._opened()
            for _ in range(_READERS + 1):
                async with pool.connection() as connection:
                    if await _lives(connection):
                        async with connection.transaction():
                            return await work(connection)
            raise psycopg.OperationalError("no connection lives")

    async def _opened(self) -> AsyncConnectionPool[AsyncConnection]:
        async with self._opening:
            if self._pool is None:
                pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
                    self.conninfo,
                    kwargs={"autocommit": True, "prepare_threshold": 0},
                    min_size=1,
                    max_size=_READERS,
                    timeout=_PATIENCE,
                    open=False,
                )
                await pool.open()
                self._pool = pool
            return self._pool

    async def _close(self) -> None:
        async with self._writing, self._opening:
            if self._writer is not None:
                await self._writer.close()
            if self._pool is not None:
                await self._pool.close()

    def _must_be_open(self) -> None:
        if self._closed:
            raise StoreFailed("The store is closed.")


async def _lives(connection: AsyncConnection) -> bool:
    try:
        await AsyncConnectionPool.check_connection(connection)
    except psycopg.OperationalError:
        return False
    return True


def prepare(url: str) -> None:
    """Sees whether the database is fit for use, and brings its schema up to date. Raises `FailedPrecondition`."""
    conninfo = conninfo_of(url)
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            must_be_fit(connection)
            migrate(connection)
    except psycopg.Error as error:
        raise FailedPrecondition(f"{place_of(url)}: {said(error)}") from error
    except FailedPrecondition as error:
        raise FailedPrecondition(f"{place_of(url)}: {error.message}") from error


def must_be_fit(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Raises `FailedPrecondition` for a server that is too old, or a database that cannot hold every text."""
    if connection.info.server_version < _OLDEST:
        raise FailedPrecondition(f"The server's PostgreSQL is too old: {_OLDEST // 10_000} is needed.")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise FailedPrecondition(f"The database's encoding is {encoding}: it must be UTF8.")


def said(error: psycopg.Error) -> str:
    """What libpq or the server said, on one line."""
    words = " ".join((error.diag.message_primary or str(error)).split())
    return words if words.endswith(("?", ".")) else f"{words}."
