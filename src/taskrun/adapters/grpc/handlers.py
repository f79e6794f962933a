"""How methods are put up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from taskrun.adapters.grpc.access import Context, Handler

Request = TypeVar("Request", bound=Message)


def unary(kind: type[Request], answer: Callable[[Request, Context], Awaitable[Message]]) -> Handler:
    """A method with one request and one answer."""
    return grpc.unary_unary_rpc_method_handler(answer, kind.FromString, _serialized)


def server_stream(kind: type[Request], serve: Callable[[Request, Context], Awaitable[None]]) -> Handler:
    """A method with one request that writes its answers to the context, as bytes."""
    return grpc.unary_stream_rpc_method_handler(serve, kind.FromString)


def _serialized(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
