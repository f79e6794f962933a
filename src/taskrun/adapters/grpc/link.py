"""The worker's way to its control plane over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

import grpc

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.channel import open_channel
from taskrun.adapters.grpc.codec_common import to_bytes
from taskrun.adapters.grpc.codec_orders import decode_to_worker
from taskrun.adapters.grpc.codec_runs import encode_hello
from taskrun.adapters.grpc.errors import is_unchanged
from taskrun.adapters.grpc.own_certificate import certificate_fault, own_name
from taskrun.adapters.grpc.speech import BatchSpeech, OldSpeech, Speech
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.grpc.unreachable import failure
from taskrun.domain.errors import InvalidArgument, PermissionDenied, TaskRunError, Unauthenticated, Unavailable
from taskrun.domain.protocol import BATCH, AssignRun, FromWorker, Hello, HelloAck, ToWorker

_METHOD = "/taskrun.v1.RunService/StreamConnect"
#: Seconds for the connection, its handshake and the hello.
_CONNECT = 15.0
#: Seconds for the control plane to read what was sent last.
_FAREWELL = 2.0

Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"
#: Makes an error of ours of one of gRPC's; true says that the control plane had let us in.
Translate = Callable[[grpc.aio.AioRpcError, bool], TaskRunError]


class GrpcLink:
    """Implements `Link` over one stream of its own channel."""

    def __init__(self, channel: grpc.aio.Channel, call: Call, worker_id: str, translate: Translate) -> None:
        self._channel, self._call, self._worker_id, self._translate = channel, call, worker_id, translate
        self._speech: Speech = OldSpeech(worker_id)
        self._reading: asyncio.Future[Any] | None = None
        self._accepted = False

    async def incoming(self) -> AsyncIterator[Sequence[ToWorker]]:
        """See `Link.incoming`."""
        while (data := await self._read()) is not grpc.aio.EOF:
            try:
                orders = decode_to_worker(data)
            except InvalidArgument as error:
                raise Unavailable(f"The control plane sent what no worker understands: {error.message}") from error
            for order in orders:
                self._note(order)
            yield orders

    async def send(self, messages: Sequence[FromWorker]) -> int:
        """See `Link.send`. A control plane that has not announced batches gets one message after the other."""
        sent = 0
        with self._told():
            for frame in self._speech.frames(messages, time.time_ns() // 1_000_000):
                await self._write(frame)
                sent += 1
        return sent

    async def close(self) -> None:
        """See `Link.close`. What was sent gets the time to be read."""
        try:
            with suppress(TimeoutError, TaskRunError, asyncio.InvalidStateError), self._told():
                async with asyncio.timeout(_FAREWELL):
                    await self._call.done_writing()
                    while await self._read() is not grpc.aio.EOF:
                        pass
        finally:
            await self.abandon()

    async def open(self, hello: bytes, greeting: float) -> None:
        """Sends the hello and waits until it is answered, refused, or `greeting` seconds are over.

        Only a control plane of old does not answer. Waiting tells a refusal from a stream that broke: gRPC gives a
        write that fails a status of its own, in place of the one that the other side has sent.
        """
        with self._told():
            await self._write(hello)
            self._reading = asyncio.ensure_future(self._call.read())
            await asyncio.wait([self._reading], timeout=greeting)
            if self._reading.done():
                self._reading.result()
        self._accepted = True

    async def abandon(self) -> None:
        """Ends the stream at once."""
        self._call.cancel()
        if self._reading is not None:
            # gRPC's word that it is over is not worth waiting for without end.
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    await asyncio.gather(self._reading, return_exceptions=True)
        await self._channel.close()

    async def _write(self, frame: bytes) -> None:
        try:
            await self._call.write(frame)
        except asyncio.InvalidStateError:
            if self._call.done():
                # Reading says why it is over.
                await self._call.read()
            raise Unavailable("The control plane ended the stream.") from None
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INTERNAL:
                raise Unavailable("The stream broke.") from error
            raise

    async def _read(self) -> Any:
        # Cancelling a read ends the whole call, and with it what was written and not yet taken in by the other side.
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        with self._told():
            data = await asyncio.shield(self._reading)
        self._reading = None
        return data

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What ends the stream, in the words of `Link`."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise _for_worker(self._translate(error, self._accepted)) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling() and self._call.cancelled():
                raise Unavailable("The stream was closed.") from None
            raise

    def _note(self, order: ToWorker) -> None:
        if isinstance(order, AssignRun):
            self._speech.assigned(order)
        elif isinstance(order, HelloAck) and BATCH in order.features:
            self._speech = BatchSpeech(self._worker_id)


class GrpcConnector:
    """Implements `Connector`. Each link has a channel of its own, so each has a handshake of its own."""

    def __init__(self, address: str, tls: Callable[[], ClientTls], greeting: float = 2.0) -> None:
        """`address` as `parse_address` reads it; `greeting` as for `GrpcLink.open`. Raises `InvalidArgument`.

        `tls` is asked for each link: a certificate may be renewed between two.
        """
        self._address, self._tls, self._greeting = parse_address(address), tls, greeting
        self._worker_id = own_name(tls().cert_pem)

    def __str__(self) -> str:
        return str(self._address)

    async def connect(self, hello: Hello) -> GrpcLink:
        """See `Connector.connect`. Raises `PermissionDenied` or `Unauthenticated` if the worker is refused for good."""
        tls = self._tls()
        fault = certificate_fault(tls.cert_pem)
        if fault is not None:
            raise fault
        first = to_bytes(partial(encode_hello, worker_id=self._worker_id), hello)
        channel = open_channel(self._address, tls)
        link = GrpcLink(channel, channel.stream_stream(_METHOD)(), self._worker_id, partial(self._translate, tls))
        try:
            async with asyncio.timeout(_CONNECT):
                await link.open(first, self._greeting)
        except BaseException as error:
            await link.abandon()
            if isinstance(error, TimeoutError):
                raise Unavailable(f"Cannot reach {self._address}: it did not answer in time.") from None
            raise
        return link

    def _translate(self, tls: ClientTls, error: grpc.aio.AioRpcError, accepted: bool) -> TaskRunError:
        found = failure(error, self._address, tls.cert_pem, accepted=accepted)
        if isinstance(found.error, Unauthenticated) and self._tls() is not tls:
            # It was renewed meanwhile: the next link is under another.
            return Unavailable(found.error.message)
        # A control plane's own words do not say whose they are.
        return Unavailable(f"{found}.") if is_unchanged(error) and not accepted else found.error


def _for_worker(error: TaskRunError) -> TaskRunError:
    """All that a worker can act on is whether to come again, and whether to say the same again."""
    known = (Unavailable, PermissionDenied, Unauthenticated, InvalidArgument)
    return error if isinstance(error, known) else Unavailable(error.message)
