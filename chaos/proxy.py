"""A TCP proxy that cuts, holds back and slows down what passes, each direction by itself.

TLS hides what is said, not how much: each of its records begins with its length in clear, and a message of gRPC is a
record or a few. So a connection can be cut after record k, at its end or in the middle of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

_BLOCK = 16_384
_HEADER = 5

Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Way:
    """One direction, of all connections."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        #: Bytes a second; 0 is no limit.
        self.rate = 0
        #: Bytes that came while nothing was let through, and that were slowed down.
        self.held = 0
        self.slowed = 0

    def hold(self) -> None:
        """From now on nothing comes through, and no end of the connection knows."""
        self._open.clear()

    def free(self) -> None:
        """Everything comes through again, what was held first."""
        self._open.set()

    async def let(self, data: bytes) -> None:
        """Returns when the data may pass."""
        if not self._open.is_set():
            self.held += len(data)
            await self._open.wait()
        if self.rate:
            self.slowed += len(data)
            await asyncio.sleep(len(data) / self.rate)


class Proxy:
    """Forwards connections to a port of ::1; a worker's way to its control plane."""

    def __init__(self, target: int, port: int) -> None:
        self._target, self.port = target, port
        #: From the worker to the control plane, and back.
        self.there, self.back = Way(), Way()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        #: Connections that were cut while bytes passed.
        self.cuts = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "::1", self.port)

    async def stop(self) -> None:
        """Doing it before it was started is harmless."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_after(self, records: int, share: float) -> asyncio.Event:
        """Every connection there is, or the next, is cut after so many records from the worker and this share of one
        more. The event is set when that has happened."""
        cut = asyncio.Event()
        for connection in self._connections:
            connection.cut_after(records, share, cut)
        return cut

    def cut(self) -> int:
        """Cuts every connection now. How many there were."""
        for connection in self._connections:
            connection.cut()
        return len(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(self)
        try:
            with suppress(OSError, asyncio.CancelledError):
                far = await asyncio.open_connection("::1", self._target)
                self._connections.add(connection)
                await connection.run((reader, writer), far)
        finally:
            writer.transport.abort()
            self._connections.discard(connection)
            self._tasks.discard(task)


class _Connection:
    """Both directions of a connection; the first that ends, ends both."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._over = asyncio.Event()
        self._records_left = -1
        self._share = 0.0
        self._on_cut: asyncio.Event | None = None

    def cut_after(self, records: int, share: float, cut: asyncio.Event) -> None:
        self._records_left, self._share, self._on_cut = records, share, cut

    def cut(self) -> None:
        self._over.set()

    async def run(self, near: Side, far: Side) -> None:
        ways = [
            asyncio.create_task(self._records(near[0], far[1], self._proxy.there)),
            asyncio.create_task(self._blocks(far[0], near[1], self._proxy.back)),
            asyncio.create_task(self._until_cut()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for _, writer in (near, far):
                writer.transport.abort()

    async def _until_cut(self) -> None:
        await self._over.wait()
        self._proxy.cuts += 1

    async def _blocks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        while data := await reader.read(_BLOCK):
            await way.let(data)
            writer.write(data)
            await writer.drain()

    async def _records(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        """Record by record, so that it can be cut at one."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(_HEADER)
                record = header + await reader.readexactly(int.from_bytes(header[3:5]))
                await way.let(record)
                if self._records_left == 0:
                    writer.write(record[: int(len(record) * self._share)])
                    await writer.drain()
                    self._proxy.cuts += 1
                    if self._on_cut is not None:
                        self._on_cut.set()
                    return
                self._records_left -= self._records_left > 0
                writer.write(record)
                await writer.drain()
