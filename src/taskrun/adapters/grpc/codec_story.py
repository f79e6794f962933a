"""A task's story between the wire and the domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_common import decode_map, decode_seq
from taskrun.adapters.grpc.codec_tasks import decode_run, encode_run
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage, StoryBody, StoryEntry, TaskChange
from taskrun.domain.status import RunEventType
from taskrun.v1 import common_pb2
from taskrun.v1 import task_service_pb2 as pb


def encode_entry(entry: StoryEntry) -> pb.TaskUpdate:
    """One step of the story."""
    body = entry.body
    field, encode = _ENCODERS[type(body)]
    return pb.TaskUpdate(seq=entry.seq, timestamp_ms=entry.at_ms, **{field: encode(body, entry.at_ms)})


def decode_entries(message: pb.WatchTaskResponse) -> Sequence[StoryEntry]:
    """The steps in one message. One of a kind that came after us is an unknown event: a watch does not end by it.

    Raises `InvalidArgument` for a status, role or failure that is none.
    """
    return tuple(_decode_entry(update) for update in message.updates)


def _decode_entry(update: pb.TaskUpdate) -> StoryEntry:
    field = update.WhichOneof("update")
    body = _DECODERS[field](getattr(update, field)) if field else RunEvent("", RunEventType.UNKNOWN)
    return StoryEntry(update.seq, update.timestamp_ms, body)


# Each body, there and back.


def _encode_change(change: TaskChange, at_ms: int) -> pb.TaskChange:
    return pb.TaskChange(
        status=words.TASK_STATUS_NUMBERS[change.status],
        cancel_requested=change.cancel_requested,
        run=encode_run(change.run) if change.run else None,
        failure_kind=words.FAILURE_KIND_NUMBERS[change.failure],
        error_message=change.error,
    )


def _decode_change(message: pb.TaskChange) -> TaskChange:
    run = decode_run(message.run) if message.HasField("run") else None
    return TaskChange(
        words.TASK_STATUSES[message.status],
        message.cancel_requested,
        run,
        words.OPTIONAL_FAILURE_KINDS[message.failure_kind],
        message.error_message,
    )


def encode_output(segment: OutputSegment, at_ms: int) -> common_pb2.RunOutput:
    """A stretch of output, in columns."""
    return common_pb2.RunOutput(
        run_id=segment.run_id,
        first_seq=segment.first_seq,
        contents=segment.contents,
        timestamp_ms=at_ms,
        metadata=segment.metadata or None,
        truncated=segment.truncated,
    )


def _decode_output(message: common_pb2.RunOutput) -> OutputSegment:
    return OutputSegment(
        message.run_id, message.first_seq, tuple(message.contents), decode_map(message.metadata), message.truncated
    )


def encode_event(event: RunEvent, at_ms: int, task_id: str = "") -> common_pb2.RunEvent:
    """A stage of an execution."""
    return common_pb2.RunEvent(
        id=event.id,
        run_id=event.run_id,
        task_id=task_id,
        event_type=words.EVENT_TYPE_NUMBERS.get(event.type, event.number),
        timestamp_ms=at_ms,
        metadata=event.metadata,
        seq=event.seq,
    )


def decode_event(message: common_pb2.RunEvent) -> RunEvent:
    """A stage of an execution. One that came after us keeps its number, so that it can be passed on."""
    number = message.event_type
    type = words.EVENT_TYPES.get(number, RunEventType.UNKNOWN)
    return RunEvent(
        message.run_id,
        type,
        decode_map(message.metadata),
        message.id,
        decode_seq(message),
        number if type is RunEventType.UNKNOWN else 0,
    )


def encode_chat(message: RunMessage, at_ms: int) -> common_pb2.ChatMessage:
    """What was said, without the run."""
    return common_pb2.ChatMessage(
        role=words.CHAT_ROLE_NUMBERS[message.role], content=message.content, timestamp_ms=at_ms
    )


def _encode_message(message: RunMessage, at_ms: int) -> pb.TaskMessage:
    return pb.TaskMessage(run_id=message.run_id, message=encode_chat(message, at_ms))


def decode_message(message: Any, seq: int | None = None, id: str = "") -> RunMessage:
    """What was said, from either of the two messages that carry it. Raises `InvalidArgument` for an unknown role."""
    return RunMessage(message.run_id, words.CHAT_ROLES[message.message.role], message.message.content, seq, id)


_ENCODERS: dict[type[StoryBody], tuple[str, Callable[[Any, int], Any]]] = {
    TaskChange: ("change", _encode_change),
    OutputSegment: ("output", encode_output),
    RunEvent: ("event", encode_event),
    RunMessage: ("message", _encode_message),
}
_DECODERS: dict[str, Callable[[Any], StoryBody]] = {
    "change": _decode_change,
    "output": _decode_output,
    "event": decode_event,
    "message": decode_message,
}
