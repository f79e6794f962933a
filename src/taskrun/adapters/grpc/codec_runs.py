"""What a worker says, between the wire and the domain.

Everything here comes from a peer that may be old, broken or hostile: what does not fit is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_common import (
    checked_number,
    checked_seq,
    decode_backend,
    decode_map,
    decode_seq,
    decode_usage,
    encode_backend,
    encode_usage,
    parsed,
)
from taskrun.adapters.grpc.codec_story import decode_event, decode_message, encode_chat, encode_event, encode_output
from taskrun.adapters.grpc.codec_workers import decode_info, encode_info
from taskrun.domain.errors import InvalidArgument, ProtocolViolation
from taskrun.domain.limits import MAX_CHUNK_BYTES, MAX_CHUNKS, MAX_CONCURRENT_RUNS, MAX_NAME, checked_hello
from taskrun.domain.protocol import FromWorker, Heartbeat, Hello, LiveRun, RunReport
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage
from taskrun.v1 import common_pb2
from taskrun.v1 import run_service_pb2 as pb

#: Of one message, output in columns aside. Old workers send a line as one chunk, however long.
MAX_WORD_BYTES = 1024 * 1024
#: Of what a hello says of the worker. A list of workers repeats it, and many of them have to fit into one answer.
MAX_INFO_BYTES = 64 * 1024
#: Of a hello, with more live runs than a worker can have: those in its slots, and those whose ends it keeps.
MAX_HELLO_BYTES = 2 * 1024 * 1024
MAX_LIVE_RUNS = 30_000
#: Of an error that are kept: a task shows the errors of all its runs, and must still fit into one answer.
MAX_ERROR_BYTES = 4 * 1024
#: Characters. Our ids have 36.
MAX_RUN_ID = 128
_CUT = b" ..."

# Reading.


def decode_hello(data: bytes) -> Hello:
    """The first message of a stream, checked. Raises `ProtocolViolation` if it is no hello, or `InvalidArgument`."""
    if len(data) > MAX_HELLO_BYTES:
        raise InvalidArgument(f"The hello has {len(data)} bytes: at most {MAX_HELLO_BYTES} are allowed.")
    message = parsed(pb.RunClientMessage, data)
    if message.WhichOneof("payload") != "hello":
        raise ProtocolViolation("The first message of a stream must be a hello.")
    hello = message.hello
    if not hello.HasField("info"):
        raise InvalidArgument("The hello says nothing of the worker: its info is missing.")
    if hello.info.ByteSize() > MAX_INFO_BYTES:
        raise InvalidArgument(
            f"The info in the hello has {hello.info.ByteSize()} bytes: at most {MAX_INFO_BYTES} are allowed."
        )
    if len(hello.live_runs) > MAX_LIVE_RUNS:
        raise InvalidArgument(f"The hello has {len(hello.live_runs)} live runs: at most {MAX_LIVE_RUNS} are allowed.")
    return checked_hello(
        Hello(
            decode_info(hello.info),
            frozenset(hello.features),
            hello.max_concurrent_runs,
            hello.info.worker_id,
            hello.process,
            tuple([LiveRun(_run_id(run.run_id), checked_seq(run.next_seq)) for run in hello.live_runs]),
            hello.stream,
        )
    )


def decode_from_worker(data: bytes) -> Sequence[FromWorker]:
    """What a later message says, in order. Raises `InvalidArgument`, and `ProtocolViolation` for a second hello."""
    message = parsed(pb.RunClientMessage, data)
    if len(data) > MAX_WORD_BYTES:
        _check_sizes(message)
    if message.WhichOneof("payload") == "batch":
        return [_decode(part) for part in message.batch.messages]
    return (_decode(message),)


def _decode(message: pb.RunClientMessage) -> FromWorker:
    field = message.WhichOneof("payload")
    decode = _DECODERS.get(field)
    if decode is None:
        raise InvalidArgument("A batch holds another batch." if field else "A message says nothing.")
    return decode(getattr(message, field))  # type: ignore[arg-type]  # None is no key of the table


def _check_sizes(message: pb.RunClientMessage) -> None:
    parts = message.batch.messages if message.HasField("batch") else (message,)
    for part in parts:
        if part.ByteSize() > MAX_WORD_BYTES and not part.HasField("output"):
            raise InvalidArgument(f"A message has {part.ByteSize()} bytes: at most {MAX_WORD_BYTES} are allowed.")


def _run_id(run_id: str) -> str:
    if 0 < len(run_id) <= MAX_RUN_ID:
        return run_id
    raise InvalidArgument(f"A run id has {len(run_id)} characters: it must have 1 to {MAX_RUN_ID}.")


def _second_hello(message: pb.WorkerHello) -> FromWorker:
    raise ProtocolViolation("A stream has one hello, as its first message.")


def _decode_heartbeat(message: pb.WorkerHeartbeat) -> Heartbeat:
    runs = message.max_concurrent_runs
    if runs > MAX_CONCURRENT_RUNS:
        raise InvalidArgument(f"max_concurrent_runs is {runs}: at most {MAX_CONCURRENT_RUNS} are allowed.")
    return Heartbeat(
        words.WORKER_STATUSES[message.status],
        message.active_runs,
        runs,
        checked_number(message.timestamp_ms, "timestamp_ms"),
        decode_map(message.metrics),
    )


def _decode_report(message: pb.RunStatusUpdate) -> RunReport:
    session_id = message.session_id
    if len(session_id) > MAX_NAME:
        raise InvalidArgument(f"session_id has {len(session_id)} characters: at most {MAX_NAME} are allowed.")
    return RunReport(
        _run_id(message.run_id),
        words.REPORTED_STATUSES[message.status],
        _shortened(message.error_message),
        words.OPTIONAL_FAILURE_KINDS[message.failure_kind],
        decode_backend(message.backend_used) if message.HasField("backend_used") else None,
        decode_usage(message.usage) if message.HasField("usage") else None,
        session_id,
        decode_seq(message),
        message.gone_within_ms,
    )


def _shortened(error: str) -> str:
    """The error, in at most so many bytes of UTF-8 as are kept. Only a whole character is one."""
    if len(error) <= MAX_ERROR_BYTES // 4:
        return error
    data = error.encode()
    if len(data) <= MAX_ERROR_BYTES:
        return error
    return (data[: MAX_ERROR_BYTES - len(_CUT)] + _CUT).decode(errors="ignore")


def _decode_output(message: common_pb2.RunOutput) -> OutputSegment:
    contents = tuple(message.contents)
    if not contents:
        raise InvalidArgument("Output without a chunk.")
    if len(contents) > MAX_CHUNKS:
        raise InvalidArgument(f"Output has {len(contents)} chunks: at most {MAX_CHUNKS} are allowed in one message.")
    # A character has up to four bytes: counting is left to the few texts where it matters.
    if (
        max(map(len, contents)) > MAX_CHUNK_BYTES // 4
        and max(len(text.encode()) for text in contents) > MAX_CHUNK_BYTES
    ):
        raise InvalidArgument(f"A chunk of output is too long: at most {MAX_CHUNK_BYTES} bytes are allowed.")
    return OutputSegment(
        _run_id(message.run_id), checked_seq(message.first_seq), contents, decode_map(message.metadata)
    )


def _decode_chunk(message: pb.RunOutputChunk) -> OutputSegment:
    """The old form. The empty chunk that says `is_final` takes a sequence number like any other."""
    return OutputSegment(
        _run_id(message.run_id), checked_seq(message.seq), (message.content,), decode_map(message.metadata)
    )


def _decode_event(message: common_pb2.RunEvent) -> RunEvent:
    _run_id(message.run_id)
    if not message.event_type:
        raise InvalidArgument("The run event type is missing.")
    return decode_event(message)


def _decode_chat(message: pb.RunChatMessage) -> RunMessage:
    _run_id(message.run_id)
    return decode_message(message, decode_seq(message), message.message_id[:MAX_RUN_ID])


_DECODERS: dict[str | None, Callable[[Any], FromWorker]] = {
    "hello": _second_hello,
    "heartbeat": _decode_heartbeat,
    "status_update": _decode_report,
    "output_chunk": _decode_chunk,
    "output": _decode_output,
    "event": _decode_event,
    "chat_message": _decode_chat,
}

# Writing: the worker's side. `at_ms` is its own time, in Unix milliseconds.


def encode_hello(hello: Hello, worker_id: str) -> pb.RunClientMessage:
    """The first message. A control plane that reads no certificates knows the worker by `worker_id`."""
    return pb.RunClientMessage(
        hello=pb.WorkerHello(
            info=encode_info(hello.info, worker_id),
            features=sorted(hello.features),
            max_concurrent_runs=hello.max_concurrent_runs,
            process=hello.process,
            live_runs=[pb.LiveRun(run_id=run.run_id, next_seq=run.next_seq) for run in hello.live_runs],
            stream=hello.stream,
        )
    )


def encode_heartbeat(beat: Heartbeat, worker_id: str) -> pb.RunClientMessage:
    """A heartbeat, with its own time."""
    return pb.RunClientMessage(
        heartbeat=pb.WorkerHeartbeat(
            worker_id=worker_id,
            status=words.WORKER_STATUS_NUMBERS[beat.status],
            active_runs=beat.active_runs,
            max_concurrent_runs=beat.max_concurrent_runs,
            metrics=beat.metrics,
            timestamp_ms=beat.timestamp_ms,
        )
    )


def encode_report(report: RunReport, at_ms: int) -> pb.RunClientMessage:
    """How a run stands."""
    return pb.RunClientMessage(
        status_update=pb.RunStatusUpdate(
            run_id=report.run_id,
            status=words.RUN_STATUS_NUMBERS[report.status],
            error_message=report.error,
            backend_used=encode_backend(report.backend) if report.backend else None,
            timestamp_ms=at_ms,
            failure_kind=words.FAILURE_KIND_NUMBERS[report.failure],
            usage=encode_usage(report.usage) if report.usage else None,
            session_id=report.session_id,
            seq=report.seq,
            gone_within_ms=report.gone_within_ms,
        )
    )


def encode_segment(segment: OutputSegment, at_ms: int) -> pb.RunClientMessage:
    """Output in columns."""
    return pb.RunClientMessage(output=encode_output(segment, at_ms))


def encode_chunk(run_id: str, seq: int, content: str, at_ms: int, is_final: bool = False) -> pb.RunClientMessage:
    """One chunk of output in the old form."""
    return pb.RunClientMessage(
        output_chunk=pb.RunOutputChunk(run_id=run_id, seq=seq, content=content, is_final=is_final, timestamp_ms=at_ms)
    )


def encode_run_event(event: RunEvent, at_ms: int, task_id: str = "") -> pb.RunClientMessage:
    """A stage of an execution."""
    return pb.RunClientMessage(event=encode_event(event, at_ms, task_id))


def encode_run_message(message: RunMessage, at_ms: int) -> pb.RunClientMessage:
    """What was said in a run's conversation."""
    return pb.RunClientMessage(
        chat_message=pb.RunChatMessage(
            run_id=message.run_id, message=encode_chat(message, at_ms), seq=message.seq, message_id=message.id
        )
    )
