"""What the control plane says to a worker, between the wire and the domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_common import decode_map, parsed
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.protocol import (
    AssignRun,
    CancelRun,
    ContinueRun,
    HeartbeatAck,
    HelloAck,
    RunDirective,
    Stored,
    ToWorker,
)
from taskrun.v1 import run_service_pb2 as pb


def encode_to_worker(message: ToWorker) -> pb.RunServerMessage:
    """The message as an old worker too understands it."""
    return _ENCODERS[type(message)](message)


def decode_to_worker(data: bytes) -> Sequence[ToWorker]:
    """What one message says, in order. Raises `InvalidArgument`. Acks of a kind that we do not know are left out."""
    message = parsed(pb.RunServerMessage, data)
    parts = message.batch.messages if message.HasField("batch") else (message,)
    return [order for part in parts if (order := _decode(part)) is not None]


def _decode(message: pb.RunServerMessage) -> ToWorker | None:
    field = message.WhichOneof("payload")
    decode = _DECODERS.get(field)
    if decode is None:
        raise InvalidArgument("A batch holds another batch." if field else "A message says nothing.")
    return decode(getattr(message, field))  # type: ignore[arg-type]  # None is no key of the table


# Each order, there and back.


def _encode_assignment(order: AssignRun) -> pb.RunServerMessage:
    issued_at_ms, timeout_ms = order.issued_at_ms, order.timeout_ms
    return pb.RunServerMessage(
        assign_run=pb.RunAssignment(
            run_id=order.run_id,
            task_id=order.task_id,
            agent_name=order.agent,
            input_json=order.input_json,
            labels=order.labels or None,
            issued_at_ms=issued_at_ms,
            deadline_ms=issued_at_ms + timeout_ms if timeout_ms else 0,
            timeout_ms=timeout_ms,
            attempt=order.attempt,
            session_id=order.session_id,
            fork=order.fork,
        )
    )


def _decode_assignment(message: pb.RunAssignment) -> AssignRun:
    # An old control plane gives only a deadline; both times are by its clock, so their difference is free of ours.
    timeout_ms = message.timeout_ms
    if message.deadline_ms and not timeout_ms:
        timeout_ms = max(1, message.deadline_ms - message.issued_at_ms)
    return AssignRun(
        message.run_id,
        message.task_id,
        message.agent_name,
        message.input_json,
        decode_map(message.labels),
        message.attempt or 1,
        message.issued_at_ms,
        timeout_ms,
        message.session_id,
        message.fork,
    )


def _encode_cancel(order: CancelRun) -> pb.RunServerMessage:
    return pb.RunServerMessage(cancel_run=pb.CancelRun(run_id=order.run_id, reason=order.reason))


def _decode_cancel(message: pb.CancelRun) -> CancelRun:
    return CancelRun(message.run_id, message.reason)


def _encode_continue(order: ContinueRun) -> pb.RunServerMessage:
    return pb.RunServerMessage(
        continue_run=pb.ContinueRun(
            run_id=order.run_id, message=order.message, message_id=order.id, timestamp_ms=order.timestamp_ms
        )
    )


def _decode_continue(message: pb.ContinueRun) -> ContinueRun:
    return ContinueRun(message.run_id, message.message, message.message_id, message.timestamp_ms)


def _encode_hello_ack(ack: HelloAck) -> pb.RunServerMessage:
    return pb.RunServerMessage(
        ack=pb.ServerAck(
            ack_type="hello",
            ref_id=ack.worker_id,
            features=sorted(ack.features),
            directives=map(_encode_directive, ack.directives),
            worker_grace_ms=ack.grace_ms,
        )
    )


def _decode_hello_ack(message: pb.ServerAck) -> HelloAck:
    directives = tuple(map(_decode_directive, message.directives))
    return HelloAck(message.ref_id, frozenset(message.features), directives, message.worker_grace_ms)


def _encode_directive(directive: RunDirective) -> pb.RunDirective:
    return pb.RunDirective(
        run_id=directive.run_id, verdict=words.VERDICT_NUMBERS[directive.verdict], from_seq=directive.from_seq
    )


def _decode_directive(message: pb.RunDirective) -> RunDirective:
    return RunDirective(message.run_id, words.VERDICTS[message.verdict], message.from_seq)


def _encode_heartbeat_ack(ack: HeartbeatAck) -> pb.RunServerMessage:
    return pb.RunServerMessage(ack=pb.ServerAck(ack_type="heartbeat", ref_id=str(ack.timestamp_ms)))


def _decode_heartbeat_ack(message: pb.ServerAck) -> HeartbeatAck:
    if message.ref_id.isascii() and message.ref_id.isdigit() and len(message.ref_id) < 20:
        return HeartbeatAck(int(message.ref_id))
    raise InvalidArgument("The ack of a heartbeat names no time.")


def _encode_stored(ack: Stored) -> pb.RunServerMessage:
    return pb.RunServerMessage(ack=pb.ServerAck(ack_type="stored", messages=ack.messages))


def _decode_stored(message: pb.ServerAck) -> Stored:
    return Stored(message.messages)


def _decode_ack(message: pb.ServerAck) -> ToWorker | None:
    decode = _ACKS.get(message.ack_type)
    return decode(message) if decode else None


_ENCODERS: dict[type[ToWorker], Callable[[Any], pb.RunServerMessage]] = {
    AssignRun: _encode_assignment,
    CancelRun: _encode_cancel,
    ContinueRun: _encode_continue,
    HelloAck: _encode_hello_ack,
    HeartbeatAck: _encode_heartbeat_ack,
    Stored: _encode_stored,
    RunDirective: lambda directive: pb.RunServerMessage(directive=_encode_directive(directive)),
}
_DECODERS: dict[str | None, Callable[[Any], ToWorker | None]] = {
    "assign_run": _decode_assignment,
    "cancel_run": _decode_cancel,
    "continue_run": _decode_continue,
    "ack": _decode_ack,
    "directive": _decode_directive,
}
_ACKS: dict[str, Callable[[pb.ServerAck], ToWorker]] = {
    "hello": _decode_hello_ack,
    "heartbeat": _decode_heartbeat_ack,
    "stored": _decode_stored,
}
