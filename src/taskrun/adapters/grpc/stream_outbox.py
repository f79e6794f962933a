"""The way to one connected worker: what gathers while the last write is under way is sent as one message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from taskrun.adapters.grpc.codec_orders import encode_to_worker
from taskrun.adapters.grpc.frames import MAX_FRAME_BYTES, MAX_FRAME_MESSAGES, envelope
from taskrun.domain.errors import TaskRunError, Unavailable
from taskrun.domain.protocol import AssignRun, ToWorker

#: What may wait for a worker. The inputs of assignments are shared with the tasks they belong to.
MAX_UNSENT = 50_000
MAX_UNSENT_BYTES = 256 * 1024 * 1024


class StreamOutbox:
    """Implements `WorkerOutbox` over one stream."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]], stall: float) -> None:
        """`write` puts one message on the stream; one that takes longer than `stall` seconds is the last."""
        self._write, self._stall = write, stall
        #: Whether the worker knows batches.
        self.batches = False
        self._unsent: deque[ToWorker] = deque()
        self._unsent_bytes = 0
        self._news = asyncio.Event()
        self._end: TaskRunError | None = None

    def send(self, messages: Sequence[ToWorker]) -> None:
        """See `WorkerOutbox.send`."""
        if self._end is not None:
            return
        self._unsent.extend(messages)
        self._unsent_bytes += sum(map(_weight, messages))
        if len(self._unsent) > MAX_UNSENT or self._unsent_bytes > MAX_UNSENT_BYTES:
            self._unsent.clear()
            self.close(_stalled())
        self._news.set()

    def close(self, error: TaskRunError) -> None:
        """See `WorkerOutbox.close`."""
        self._end = self._end or error
        self._news.set()

    async def run(self) -> NoReturn:
        """Writes until the stream is closed, then raises the error it was closed with."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._unsent:
                try:
                    async with asyncio.timeout(self._stall):
                        await self._write(self._frame())
                except TimeoutError:
                    raise _stalled() from None
            if self._end is not None:
                raise self._end

    def _frame(self) -> bytes:
        """The oldest messages: as many as fit into one if the worker knows batches, else one."""
        parts: list[bytes] = []
        size, most = 0, MAX_FRAME_MESSAGES if self.batches else 1
        while self._unsent and len(parts) < most and size < MAX_FRAME_BYTES:
            message = self._unsent.popleft()
            self._unsent_bytes -= _weight(message)
            part = encode_to_worker(message).SerializeToString()
            parts.append(part)
            size += len(part)
        return envelope(parts)


def _weight(message: ToWorker) -> int:
    return len(message.input_json) if isinstance(message, AssignRun) else 0


def _stalled() -> Unavailable:
    return Unavailable("The worker does not read what it is sent.")
