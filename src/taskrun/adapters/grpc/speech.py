"""How a worker talks: in batches and columns to a control plane that announced them, else as an old worker does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from taskrun.adapters.grpc import words
from taskrun.adapters.grpc.codec_runs import (
    encode_chunk,
    encode_heartbeat,
    encode_report,
    encode_run_event,
    encode_run_message,
    encode_segment,
)
from taskrun.adapters.grpc.frames import envelope, grouped, pieces
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.protocol import AssignRun, FromWorker, Heartbeat, RunReport
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage
from taskrun.domain.status import RunStatus
from taskrun.v1 import run_service_pb2 as pb

#: A message, and the worker's time in Unix milliseconds, to what goes on the wire.
Encoder = Callable[[Any, int], Iterable[pb.RunClientMessage]]


class Speech(Protocol):
    """Puts messages on the wire."""

    def frames(self, messages: Sequence[FromWorker], at_ms: int) -> Iterator[bytes]:
        """The messages of the stream that say this. Raises `InvalidArgument` for what cannot be sent."""
        ...

    def assigned(self, order: AssignRun) -> None:
        """The control plane has given out this run."""
        ...


class BatchSpeech:
    """Everything at once, as many messages as fit into a frame."""

    def __init__(self, worker_id: str) -> None:
        self._encoders: dict[type[FromWorker], Encoder] = {
            Heartbeat: lambda beat, at_ms: (encode_heartbeat(beat, worker_id),),
            RunReport: lambda report, at_ms: (encode_report(report, at_ms),),
            OutputSegment: lambda segment, at_ms: (encode_segment(piece, at_ms) for piece in pieces(segment)),
            RunEvent: lambda event, at_ms: (encode_run_event(event, at_ms),),
            RunMessage: lambda message, at_ms: (encode_run_message(message, at_ms),),
        }

    def frames(self, messages: Sequence[FromWorker], at_ms: int) -> Iterator[bytes]:
        """See `Speech`."""
        return map(envelope, grouped(_encoded(self._encoders, messages, at_ms)))

    def assigned(self, order: AssignRun) -> None:
        """See `Speech`."""


class OldSpeech:
    """One message at a time, and chunk by chunk; output ends with an empty chunk that says so (WIRE.md)."""

    def __init__(self, worker_id: str) -> None:
        #: Of each run that was started and is not over, its task and the number of its next chunk.
        self._tasks: dict[str, str] = {}
        self._next_seq: dict[str, int] = {}
        self._encoders: dict[type[FromWorker], Encoder] = {
            Heartbeat: lambda beat, at_ms: (encode_heartbeat(beat, worker_id),),
            RunReport: self._report,
            OutputSegment: self._output,
            RunEvent: self._event,
            RunMessage: lambda message, at_ms: (encode_run_message(message, at_ms),),
        }

    def frames(self, messages: Sequence[FromWorker], at_ms: int) -> Iterator[bytes]:
        """See `Speech`."""
        return _encoded(self._encoders, messages, at_ms)

    def assigned(self, order: AssignRun) -> None:
        """See `Speech`."""
        self._tasks[order.run_id] = order.task_id

    def _report(self, report: RunReport, at_ms: int) -> Iterator[pb.RunClientMessage]:
        run_id = report.run_id
        if report.status is RunStatus.RUNNING:
            self._next_seq[run_id] = 0
        else:
            self._tasks.pop(run_id, None)
            seq = self._next_seq.pop(run_id, None)
            if seq is not None:
                yield encode_chunk(run_id, seq, "", at_ms, is_final=True)
        yield encode_report(report, at_ms)

    def _event(self, event: RunEvent, at_ms: int) -> Iterator[pb.RunClientMessage]:
        # A number that it does not know may be an error to it.
        if words.EVENT_TYPE_NUMBERS.get(event.type, words.FIRST_ADDITION) < words.FIRST_ADDITION:
            yield encode_run_event(event, at_ms, self._tasks.get(event.run_id, ""))

    def _output(self, segment: OutputSegment, at_ms: int) -> Iterator[pb.RunClientMessage]:
        # Here only chunks are numbered.
        run_id = segment.run_id
        first_seq = self._next_seq[run_id]
        self._next_seq[run_id] = first_seq + len(segment.contents)
        for seq, content in enumerate(segment.contents, first_seq):
            yield encode_chunk(run_id, seq, content, at_ms)


def _encoded(encoders: dict[type[FromWorker], Encoder], messages: Sequence[FromWorker], at_ms: int) -> Iterator[bytes]:
    for message in messages:
        try:
            parts = [part.SerializeToString() for part in encoders[type(message)](message, at_ms)]
        # Half of a surrogate pair, or a number that is out of range.
        except (ValueError, TypeError) as error:
            raise InvalidArgument(f"A {type(message).__name__} cannot be sent: {error}.") from error
        yield from parts
