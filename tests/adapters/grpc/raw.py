"""The wire by hand: streams of bytes, for peers that do not behave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.v1 import common_pb2
from taskrun.v1 import run_service_pb2 as pb

STREAM = "/taskrun.v1.RunService/StreamConnect"

Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


def hello(*agents: str, features: tuple[str, ...] = (), claimed: str = "", runs: int = 0) -> pb.RunClientMessage:
    specs = [common_pb2.AgentSpec(name=agent) for agent in agents or ("general",)]
    info = common_pb2.WorkerInfo(worker_id=claimed, hostname="host", version="1.0", agents=specs)
    return pb.RunClientMessage(hello=pb.WorkerHello(info=info, features=features, max_concurrent_runs=runs))


@asynccontextmanager
async def stream(address: str, tls: ClientTls, *first: pb.RunClientMessage | bytes) -> AsyncIterator[Call]:
    """A run stream on which these messages were sent."""
    credentials = grpc.ssl_channel_credentials(tls.ca_pem, tls.key_pem, tls.cert_pem)
    # Our own channels refuse to send what is too long; this one leaves that to the server.
    async with grpc.aio.secure_channel(parse_address(address).target, credentials) as channel:
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(STREAM)
        call = method()
        for message in first:
            await send(call, message)
        yield call
        call.cancel()


async def send(call: Call, message: pb.RunClientMessage | bytes) -> None:
    await call.write(message if isinstance(message, bytes) else message.SerializeToString())


async def heard(call: Call) -> pb.RunServerMessage:
    """The next message from the control plane."""
    data: Any = await call.read()
    assert data is not grpc.aio.EOF
    return pb.RunServerMessage.FromString(data)


async def status(call: Call) -> tuple[grpc.StatusCode, str]:
    """How the stream ends, whatever still comes on it."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
