"""What all the codecs share: reading and writing bytes, and the values that tasks, workers and runs have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.records import NO_LABELS, AgentSpec, Consumption, Labels, ModelBackend, Usage
from taskrun.domain.usage import bounded
from taskrun.v1 import common_pb2 as pb

#: Of a backend in a report or a list; one that is longer describes something else.
MAX_BACKEND_BYTES = 16 * 1024
#: Larger numbers are exact in neither JSON nor a double.
MAX_NUMBER = 2**53

M = TypeVar("M", bound=Message)
Value = TypeVar("Value")


def parsed(kind: type[M], data: bytes) -> M:
    """The message in these bytes. Raises `InvalidArgument` if they are none of this kind."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidArgument(f"The bytes are no {kind.DESCRIPTOR.full_name}.") from None


def to_bytes(encode: Callable[[Value], Message], value: Value) -> bytes:
    """The value on the wire. Raises `InvalidArgument` if it cannot be: a lone surrogate, a number out of range."""
    try:
        return encode(value).SerializeToString()
    except UnicodeEncodeError:
        raise InvalidArgument("Text that is sent must be valid Unicode, without lone surrogates.") from None
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"A value cannot be sent: {error}.") from None


def decode_map(pairs: Mapping[str, str]) -> Labels:
    """A map of strings."""
    return dict(pairs) if pairs else NO_LABELS


def checked_number(value: int, what: str) -> int:
    """The number, if it is not negative and small enough for everybody. Raises `InvalidArgument`."""
    if 0 <= value <= MAX_NUMBER:
        return value
    raise InvalidArgument(f"{what} is {value}: it must be 0 to {MAX_NUMBER}.")


def checked_seq(seq: int) -> int:
    """The sequence number, if it is small enough for everybody. Raises `InvalidArgument`."""
    if seq < MAX_NUMBER:
        return seq
    raise InvalidArgument(f"The sequence number {seq} is out of range: it must be below {MAX_NUMBER}.")


def decode_seq(message: Any) -> int | None:
    """The run's sequence number of a message, if its sender numbers what it says. Raises `InvalidArgument`."""
    return checked_seq(message.seq) if message.HasField("seq") else None


def encode_backend(backend: ModelBackend) -> pb.ModelBackend:
    """A model backend."""
    return pb.ModelBackend(
        provider=backend.provider,
        model_name=backend.model_name,
        context_window=backend.context_window,
        supports_streaming=backend.supports_streaming,
        modalities=backend.modalities,
        tools=backend.tools,
        metadata=backend.metadata,
    )


def decode_backend(message: pb.ModelBackend) -> ModelBackend:
    """A model backend. Raises `InvalidArgument` if it is too long."""
    return _backend(message.SerializeToString(deterministic=True))


# The same few come with every report and every listed run.
@lru_cache(maxsize=1024)
def _backend(data: bytes) -> ModelBackend:
    if len(data) > MAX_BACKEND_BYTES:
        raise InvalidArgument(f"A backend has {len(data)} bytes: at most {MAX_BACKEND_BYTES} are allowed.")
    message = pb.ModelBackend.FromString(data)
    return ModelBackend(
        message.provider,
        message.model_name,
        message.context_window,
        message.supports_streaming,
        tuple(message.modalities),
        tuple(message.tools),
        decode_map(message.metadata),
    )


def encode_usage(usage: Usage) -> pb.Usage:
    """What a run consumed."""
    by_model = {model: _encode_consumption(consumed) for model, consumed in usage.by_model.items()}
    return _encode_consumption(usage, by_model)


def _encode_consumption(consumed: Consumption, by_model: Mapping[str, pb.Usage] | None = None) -> pb.Usage:
    return pb.Usage(
        input_tokens=consumed.input_tokens,
        output_tokens=consumed.output_tokens,
        cache_read_tokens=consumed.cache_read_tokens,
        cache_write_tokens=consumed.cache_write_tokens,
        cost_usd=consumed.cost_usd or 0.0,
        free=consumed.cost_usd == 0,
        by_model=by_model,
    )


def decode_usage(message: pb.Usage) -> Usage:
    """What a run consumed, `bounded`. Raises `InvalidArgument` for a number that no run can have used."""
    by_model = {model: Consumption(*_amounts(consumed)) for model, consumed in message.by_model.items()}
    usage = Usage(*_amounts(message), by_model)
    return bounded(usage) if by_model else usage


def _amounts(message: pb.Usage) -> tuple[int, int, int, int, float | None]:
    cost = message.cost_usd
    if not 0 <= cost < math.inf:
        raise InvalidArgument(f"cost_usd is {cost}: it must be a finite number, and not negative.")
    return (
        checked_number(message.input_tokens, "input_tokens"),
        checked_number(message.output_tokens, "output_tokens"),
        checked_number(message.cache_read_tokens, "cache_read_tokens"),
        checked_number(message.cache_write_tokens, "cache_write_tokens"),
        cost if cost or message.free else None,
    )


def encode_agent(agent: AgentSpec) -> pb.AgentSpec:
    """An agent that a worker offers."""
    return pb.AgentSpec(
        name=agent.name,
        description=agent.description,
        labels=agent.labels,
        backends=[encode_backend(backend) for backend in agent.backends],
    )


def decode_agent(message: pb.AgentSpec) -> AgentSpec:
    """An agent that a worker offers."""
    return AgentSpec(
        message.name,
        message.description,
        decode_map(message.labels),
        tuple(decode_backend(backend) for backend in message.backends),
    )
