"""The run stream: one for each worker, read and written at the same time until either side ends it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from loguru import logger

from taskrun.adapters.grpc.access import Context, Handler, begin, caller
from taskrun.adapters.grpc.codec_runs import decode_from_worker, decode_hello
from taskrun.adapters.grpc.stream_outbox import StreamOutbox
from taskrun.domain.errors import ProtocolViolation, TaskRunError
from taskrun.domain.protocol import BATCH, Hello
from taskrun.ports.control_plane import WorkerGateway


@dataclass(frozen=True, slots=True)
class StreamTimers:
    """How long a stream waits for its worker. In seconds."""

    #: For the first message.
    hello: float = 5.0
    #: For a message to be taken off its hands.
    stall: float = 10.0


class RunService:
    """Serves `taskrun.v1.RunService`."""

    def __init__(self, gateway: WorkerGateway, timers: StreamTimers) -> None:
        self._gateway, self._timers = gateway, timers

    def handlers(self) -> dict[str, Handler]:
        """The service's methods. They read and write bytes: what cannot be read is answered by us, not by gRPC."""
        return {"StreamConnect": grpc.stream_stream_rpc_method_handler(self._connect)}

    async def _connect(self, requests: Any, context: Context) -> None:
        worker_id = caller().name
        await begin(context)
        try:
            await _WorkerStream(self._gateway, context, worker_id, self._timers).run()
        except TaskRunError as error:
            logger.warning("ended the stream: {}", error.message, worker_id=worker_id)
            raise


class _WorkerStream:
    """One stream, under the id in its worker's certificate."""

    def __init__(self, gateway: WorkerGateway, context: Context, worker_id: str, timers: StreamTimers) -> None:
        self._gateway, self._context, self._worker_id, self._timers = gateway, context, worker_id, timers
        self._outbox = StreamOutbox(context.write, timers.stall)
        self._session: int | None = None

    async def run(self) -> None:
        """Serves until the worker ends the stream; raises whatever else ends it."""
        sides = [asyncio.create_task(self._read()), asyncio.create_task(self._outbox.run())]
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            for side in done:
                side.result()
        finally:
            for side in sides:
                side.cancel()
            try:
                await asyncio.gather(*sides, return_exceptions=True)
            finally:
                # gRPC cancels this call when its peer vanishes, perhaps just now: the worker is gone all the same.
                if self._session is not None:
                    await self._gateway.disconnect(self._session)

    async def _read(self) -> None:
        hello = await self._hello()
        self._outbox.batches = BATCH in hello.features
        self._session = session = await self._gateway.connect(self._worker_id, hello, self._outbox)
        while (data := await self._context.read()) is not grpc.aio.EOF:
            await self._gateway.receive(session, decode_from_worker(data), len(data))

    async def _hello(self) -> Hello:
        # A read that times out would spoil the call, so the time limit ends it from the other side.
        late = ProtocolViolation(f"No hello came within {self._timers.hello:g} s.")
        watchdog = asyncio.get_running_loop().call_later(self._timers.hello, self._outbox.close, late)
        try:
            data = await self._context.read()
        finally:
            watchdog.cancel()
        if data is grpc.aio.EOF:
            raise ProtocolViolation("The stream ended before its hello.")
        hello = decode_hello(data)
        if hello.claimed_id not in {"", self._worker_id}:
            logger.info(
                "the worker calls itself {!r}; its certificate counts", hello.claimed_id, worker_id=self._worker_id
            )
        return hello
