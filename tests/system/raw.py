"""Calls and run streams made by hand, byte by byte where need be: what no well-behaved peer sends."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from taskrun.adapters.grpc.tls import ClientTls
from taskrun.v1.common_pb2 import AgentSpec, WorkerInfo
from taskrun.v1.run_service_pb2 import RunClientMessage, RunServerMessage, WorkerHello

#: Seconds.
_PATIENCE = 60.0

Status = tuple[grpc.StatusCode, str]


def open_raw_channel(addr: str, tls: ClientTls) -> grpc.Channel:
    """A channel that sends messages of any size."""
    credentials = grpc.ssl_channel_credentials(tls.ca_pem, tls.key_pem, tls.cert_pem)
    return grpc.secure_channel(addr, credentials, [("grpc.max_send_message_length", -1)])


def refusal(call: Callable[[], Any]) -> Status:
    """How the call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details() or ""


def ask(addr: str, tls: ClientTls, path: str, request: bytes) -> Status:
    """How a unary call with these bytes is refused."""
    with open_raw_channel(addr, tls) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        return refusal(lambda: method(request, timeout=_PATIENCE))


class RawStream:
    """A worker's stream. A context manager."""

    def __init__(self, addr: str, tls: ClientTls) -> None:
        self._channel = open_raw_channel(addr, tls)
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(
            "/taskrun.v1.RunService/StreamConnect"
        )
        self._call = method(iter(self._outgoing.get, None), timeout=_PATIENCE)

    def __enter__(self) -> RawStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._outgoing.put(None)
        self._call.cancel()
        self._channel.close()

    def send_bytes(self, data: bytes) -> None:
        """One message of the stream, whatever it is."""
        self._outgoing.put(data)

    def send(self, **payload: Any) -> None:
        """One message, by its field."""
        self.send_bytes(RunClientMessage(**payload).SerializeToString())

    def send_hello(self, *agents: str, claimed_id: str = "") -> None:
        """The first message, as an old worker sends it: it announces no additions."""
        specs = [AgentSpec(name=name) for name in agents]
        self.send(hello=WorkerHello(info=WorkerInfo(worker_id=claimed_id, hostname="old", version="0.1", agents=specs)))

    def receive(self, field: str) -> Any:
        """The next message that has this field; what comes before it is passed over, as old workers do with acks."""
        for data in self._call:
            message = RunServerMessage.FromString(data)
            if message.WhichOneof("payload") == field:
                return getattr(message, field)
        raise AssertionError("The stream has ended.")

    def status(self) -> Status:
        """How the control plane ends the stream."""
        return refusal(lambda: list(self._call))
