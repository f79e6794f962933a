"""A TCP proxy that can turn into a black hole, or cut connections after so many bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")

#: Bytes of one read: small, so that a cut falls anywhere.
_BLOCK = 4096


def endless() -> int:
    """The bytes of a connection that is not cut."""
    return 1 << 62


class Proxy:
    """Forwards connections to a port of ::1, in a thread of its own. A context manager."""

    def __init__(self, port: int, lifetime: Callable[[], int] = endless) -> None:
        """Each new connection is cut after `lifetime()` bytes, both directions together."""
        self._target, self._lifetime = port, lifetime
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._forwarding = asyncio.Event()
        self._forwarding.set()
        self._open: set[asyncio.Task[None]] = set()
        #: How many there were.
        self.connections = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._await(asyncio.start_server(self._accept, "::1", 0))
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def addr(self) -> str:
        """Where it listens."""
        return f"[::1]:{self._server.sockets[0].getsockname()[1]}"

    def hold(self) -> None:
        """From now on nothing comes through, and no connection is closed: not even the kernels at the ends know."""
        self._loop.call_soon_threadsafe(self._forwarding.clear)

    def forward(self) -> None:
        """Everything comes through again, what was held first."""
        self._loop.call_soon_threadsafe(self._forwarding.set)

    def cut(self) -> None:
        """Ends the connections that there are."""
        self._loop.call_soon_threadsafe(self._cut)

    def lead_to(self, port: int) -> None:
        """Ends the connections that there are; new ones go to another port."""
        self._target = port
        self.cut()

    def _cut(self) -> None:
        for connection in self._open:
            connection.cancel()

    def _await(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._open.add(connection)
        self.connections += 1
        try:
            await self._forwarding.wait()
            # Cancelled means that the proxy is closed.
            with suppress(OSError, asyncio.CancelledError):
                await _Connection(self._forwarding, self._lifetime()).run(
                    (reader, writer), await asyncio.open_connection("::1", self._target)
                )
        finally:
            writer.transport.abort()
            self._open.discard(connection)


Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """Both directions of a connection; the first that ends, ends both."""

    def __init__(self, forwarding: asyncio.Event, left: int) -> None:
        self._forwarding, self._left = forwarding, left

    async def run(self, near: Side, far: Side) -> None:
        ways = [asyncio.create_task(self._pump(near[0], far[1])), asyncio.create_task(self._pump(far[0], near[1]))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for _, writer in (near, far):
                writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._left > 0 and (data := await reader.read(_BLOCK)):
            await self._forwarding.wait()
            writer.write(data[: self._left])
            self._left -= len(data)
            await writer.drain()
