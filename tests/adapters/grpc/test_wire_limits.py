"""The limits of what a worker may send, each at its edge: the last that is taken in, and the first that is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from taskrun.adapters.grpc.codec_common import MAX_BACKEND_BYTES, MAX_NUMBER
from taskrun.adapters.grpc.codec_runs import (
    MAX_INFO_BYTES,
    MAX_LIVE_RUNS,
    MAX_RUN_ID,
    MAX_WORD_BYTES,
    decode_from_worker,
    decode_hello,
)
from taskrun.adapters.grpc.options import MAX_MESSAGE_BYTES
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.limits import (
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_CONCURRENT_RUNS,
    MAX_INPUT_BYTES,
    MAX_INPUT_DEPTH,
    MAX_NAME,
    MAX_OUTPUT_BYTES,
)
from taskrun.v1 import common_pb2
from taskrun.v1 import run_service_pb2 as pb
from tests.adapters.grpc.conftest import Plane
from tests.adapters.grpc.raw import hello, send, status, stream

KIB, MIB = 1024, 1024 * 1024


def test_the_limits_are_those_that_peers_were_told_of() -> None:
    assert (MAX_INPUT_BYTES, MAX_INPUT_DEPTH) == (MIB, 64)
    assert (MAX_CHUNK_BYTES, MAX_WORD_BYTES, MAX_MESSAGE_BYTES, MAX_OUTPUT_BYTES) == (64 * KIB, MIB, 4 * MIB, 64 * MIB)


def padded(message: Any, holder: Any, field: str, size: int) -> Any:
    """The message, with so much in one of its texts that it has exactly so many bytes."""
    # A length is written in more bytes the longer what it measures: so it is found by trying.
    room = size - message.ByteSize()
    for length in range(max(0, room - 32), room):
        setattr(holder, field, "x" * length)
        if message.ByteSize() == size:
            return message
    raise AssertionError(f"no text makes it {size} bytes long")


def said(**payload: Any) -> pb.RunClientMessage:
    return pb.RunClientMessage(**payload)


def chunk_of(size: int) -> pb.RunClientMessage:
    message = said(output_chunk={"run_id": "r"})
    return padded(message, message.output_chunk, "content", size)  # type: ignore[no-any-return]


def report_with_backend_of(size: int) -> pb.RunClientMessage:
    message = said(status_update={"run_id": "r", "status": 4})
    backend = message.status_update.backend_used
    padded(backend, backend, "model_name", size)
    return message


#: What is limited: the message for a number, and the largest that is taken in.
WORDS: dict[str, tuple[Callable[[int], pb.RunClientMessage], int]] = {
    "bytes of a chunk": (lambda size: said(output={"run_id": "r", "contents": ["x" * size]}), MAX_CHUNK_BYTES),
    "bytes of a chunk of letters": (
        lambda size: said(output={"run_id": "r", "contents": ["é" * (size // 2) + "x" * (size % 2)]}),
        MAX_CHUNK_BYTES,
    ),
    "chunks": (lambda count: said(output={"run_id": "r", "contents": ["x"] * count}), MAX_CHUNKS),
    "bytes of an old worker's chunk": (chunk_of, MAX_WORD_BYTES),
    "a run's id": (lambda size: said(output_chunk={"run_id": "r" * size}), MAX_RUN_ID),
    "a sequence number": (lambda seq: said(output_chunk={"run_id": "r", "seq": seq}), MAX_NUMBER - 1),
    "a moment": (lambda at: said(heartbeat={"status": 1, "timestamp_ms": at}), MAX_NUMBER),
    "slots": (lambda runs: said(heartbeat={"status": 1, "max_concurrent_runs": runs}), MAX_CONCURRENT_RUNS),
    "tokens": (
        lambda tokens: said(status_update={"run_id": "r", "status": 4, "usage": {"input_tokens": tokens}}),
        MAX_NUMBER,
    ),
    "a session's id": (
        lambda size: said(status_update={"run_id": "r", "status": 4, "session_id": "s" * size}),
        MAX_NAME,
    ),
    "bytes of a backend": (report_with_backend_of, MAX_BACKEND_BYTES),
}


@pytest.mark.parametrize("what", WORDS)
def test_a_word_is_taken_in_up_to_its_limit_and_no_further(what: str) -> None:
    make, most = WORDS[what]
    decode_from_worker(make(most).SerializeToString())
    with pytest.raises(InvalidArgument):
        decode_from_worker(make(most + 1).SerializeToString())


def hello_with_info_of(size: int) -> pb.RunClientMessage:
    message = hello(*(f"a{number}" for number in range(16)))
    info = message.hello.info
    for agent in info.agents[1:]:
        agent.description = "d" * 4096
    padded(info, info.agents[0], "description", size)
    return message


HELLOS: dict[str, tuple[Callable[[int], pb.RunClientMessage], int]] = {
    "bytes of info": (hello_with_info_of, MAX_INFO_BYTES),
    "live runs": (
        lambda count: said(
            hello=pb.WorkerHello(info=common_pb2.WorkerInfo(), live_runs=[pb.LiveRun(run_id="r")] * count)
        ),
        MAX_LIVE_RUNS,
    ),
    "slots": (
        lambda runs: said(hello=pb.WorkerHello(info=common_pb2.WorkerInfo(), max_concurrent_runs=runs)),
        MAX_CONCURRENT_RUNS,
    ),
}


@pytest.mark.parametrize("what", HELLOS)
def test_a_hello_is_taken_in_up_to_its_limit_and_no_further(what: str) -> None:
    make, most = HELLOS[what]
    decode_hello(make(most).SerializeToString())
    with pytest.raises(InvalidArgument):
        decode_hello(make(most + 1).SerializeToString())


def output_of(size: int) -> bytes:
    """A message with so many bytes in all, no chunk of it too long."""
    message = said(output={"run_id": "r", "contents": ["x" * (MAX_CHUNK_BYTES - 8)] * 63})
    message.output.metadata["m"] = "x" * (size - message.ByteSize() - 16)
    missing = size - message.ByteSize()
    message.output.metadata["m"] += "x" * missing
    data = message.SerializeToString()
    assert len(data) == size
    return data


async def test_a_message_of_exactly_4_mib_is_read_and_one_byte_more_ends_the_stream(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await send(call, output_of(MAX_MESSAGE_BYTES))
        session = await plane.gateway.session()
        await plane.gateway.until(lambda: session.received)
        assert session.sizes == [MAX_MESSAGE_BYTES]
        await send(call, output_of(MAX_MESSAGE_BYTES + 1))
        async with asyncio.timeout(30):
            assert (await status(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
