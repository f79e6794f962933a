"""Workers in the control plane's own process: a link that is two method calls and a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from taskrun.domain.errors import PermissionDenied, TaskRunError, Unauthenticated, Unavailable
from taskrun.domain.protocol import FromWorker, Hello, ToWorker
from taskrun.domain.records import OutputSegment
from taskrun.ports.control_plane import WorkerGateway

#: Messages that may wait for a worker that does not read; with more it is cut.
MAX_UNREAD = 100_000


class LocalOutbox:
    """Implements `WorkerOutbox`: what the worker has not read yet."""

    def __init__(self) -> None:
        self._unread: list[ToWorker] = []
        self._news = asyncio.Event()
        self._end: TaskRunError | None = None

    @property
    def end(self) -> TaskRunError | None:
        """Why the stream is over, if it is."""
        return self._end

    def send(self, messages: Sequence[ToWorker]) -> None:
        """See `WorkerOutbox.send`."""
        if self._end is not None:
            return
        self._unread.extend(messages)
        self._news.set()
        if len(self._unread) > MAX_UNREAD:
            self.cut(Unavailable("The worker does not read what it is sent."))

    def close(self, error: TaskRunError) -> None:
        """See `WorkerOutbox.close`."""
        self._end = self._end or error
        self._news.set()

    def cut(self, error: TaskRunError) -> None:
        """Ends the stream, and what is unread with it."""
        self._unread = []
        self.close(error)

    async def read(self) -> Sequence[ToWorker]:
        """What gathered, as soon as there is something; nothing once the stream is over and all is read."""
        while not self._unread and self._end is None:
            self._news.clear()
            await self._news.wait()
        messages, self._unread = self._unread, []
        return messages


class LocalLink:
    """Implements `Link` over a gateway in this process."""

    def __init__(self, gateway: WorkerGateway, session: int, outbox: LocalOutbox) -> None:
        self._gateway, self._session, self._outbox = gateway, session, outbox
        self._connected = True

    async def incoming(self) -> AsyncIterator[Sequence[ToWorker]]:
        """See `Link.incoming`."""
        while messages := await self._outbox.read():
            yield messages
        raise self._error()

    async def send(self, messages: Sequence[FromWorker]) -> int:
        """See `Link.send`."""
        if self._outbox.end is not None:
            raise self._error()
        await self._gateway.receive(self._session, messages, sum(map(_size, messages)))
        return 1

    async def close(self) -> None:
        """See `Link.close`."""
        await self.cut(Unavailable("The worker closed the stream."))

    async def cut(self, error: TaskRunError) -> None:
        """Breaks the stream as a network does: what is unread is gone, and both sides find it over."""
        self._outbox.cut(error)
        if self._connected:
            self._connected = False
            await self._gateway.disconnect(self._session)

    def _error(self) -> TaskRunError:
        """The end of the stream, as a worker is told: all that it can act on is whether to come again."""
        end = self._outbox.end
        assert end is not None
        return end if isinstance(end, Unavailable | PermissionDenied | Unauthenticated) else Unavailable(end.message)


class LocalConnector:
    """Implements `Connector` for a worker in the control plane's own process."""

    def __init__(self, gateway: WorkerGateway, worker_id: str) -> None:
        """`worker_id` stands in for the certificate that a remote worker has."""
        self._gateway, self._worker_id = gateway, worker_id
        self._link: LocalLink | None = None

    def __str__(self) -> str:
        return "this process"

    async def connect(self, hello: Hello) -> LocalLink:
        """See `Connector.connect`."""
        outbox = LocalOutbox()
        session = await self._gateway.connect(self._worker_id, hello, outbox)
        self._link = LocalLink(self._gateway, session, outbox)
        return self._link

    async def cut(self) -> None:
        """Breaks the last link that was opened; harmless if it is over already. For tests of what comes after."""
        if self._link is not None:
            await self._link.cut(Unavailable("The stream was cut."))


def _size(message: FromWorker) -> int:
    """About what it would take on a wire."""
    return sum(map(len, message.contents)) if isinstance(message, OutputSegment) else 0
