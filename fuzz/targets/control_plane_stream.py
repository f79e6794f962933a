"""A control plane's whole stream, as a worker reads it: whatever it is told, the worker ends or comes again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import grpc

from fuzz.loop import breathe, in_the_loop
from fuzz.target import Target
from fuzz.wire import AGENT, HELLO, ORDERS, WORKER, framed, unframed
from taskrun.adapters.agents.function import FunctionAgent
from taskrun.adapters.grpc.codec_orders import encode_to_worker
from taskrun.adapters.grpc.frames import envelope
from taskrun.adapters.grpc.link import GrpcLink
from taskrun.domain.errors import PermissionDenied, TaskRunError, Unavailable
from taskrun.domain.protocol import Hello
from taskrun.domain.timers import DaemonTimers
from taskrun.engine.daemon import Daemon
from taskrun.ports.agents import AgentRequest, AgentSink
from taskrun.testing.clock import JumpingClock


class _Call:
    """The worker's end of a stream on which the control plane has said all this, and then ends it."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = list(reversed(frames))

    async def write(self, frame: bytes) -> None:
        """What the worker says, and here nobody heeds."""

    async def read(self) -> object:
        """The next message, once the one before has had its effects."""
        await breathe()
        return self._frames.pop() if self._frames else grpc.aio.EOF

    async def done_writing(self) -> None:
        """The worker has no more to say."""

    def cancel(self) -> None:
        """The stream is over."""

    def cancelled(self) -> bool:
        """Whether it was ended here."""
        return False


class _Channel:
    async def close(self) -> None:
        """The connection is over."""


class _Connector:
    """Lets the worker in once."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames: Sequence[bytes] | None = frames

    async def connect(self, hello: Hello) -> GrpcLink:
        """See `Connector.connect`."""
        frames, self._frames = self._frames, None
        if frames is None:
            raise PermissionDenied("Once was enough.")
        return GrpcLink(cast(Any, _Channel()), cast(Any, _Call(frames)), WORKER, _unavailable)


def _unavailable(error: grpc.aio.AioRpcError, accepted: bool) -> TaskRunError:
    return Unavailable("gone")


async def _answer(request: AgentRequest, sink: AgentSink) -> str:
    await sink.text("one ")
    return "two"


async def _take(case: bytes) -> None:
    agent, clock = FunctionAgent(AGENT, _answer), JumpingClock(autojump=True)
    timers = DaemonTimers()
    daemon = Daemon([_Connector(unframed(case))], [agent], HELLO.info, clock, timers, 10, lambda: 0.5, "process-1")
    with suppress(PermissionDenied):
        await daemon.run()


_FRAMES = [encode_to_worker(order).SerializeToString() for order in ORDERS]

TARGET = Target(
    in_the_loop(_take), {"one_by_one": framed(_FRAMES), "batch": framed([_FRAMES[0], envelope(_FRAMES[1:])])}
)
