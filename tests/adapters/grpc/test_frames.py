from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.grpc.frames import entry_pieces, envelope, grouped, pieces, repeated
from taskrun.domain.records import OutputSegment, RunEvent, StoryEntry
from taskrun.domain.status import RunEventType
from taskrun.v1 import common_pb2, task_service_pb2
from taskrun.v1 import run_service_pb2 as pb


def chunk(text: str) -> pb.RunClientMessage:
    return pb.RunClientMessage(output_chunk=pb.RunOutputChunk(run_id="r", content=text))


@pytest.mark.parametrize("length", [0, 1, 120, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_frame_is_what_protobuf_itself_would_write(length: int) -> None:
    messages = [chunk("x" * length), chunk("second")]
    parts = [message.SerializeToString() for message in messages]
    assert envelope(parts) == pb.RunClientMessage(batch=pb.RunClientBatch(messages=messages)).SerializeToString()
    updates = [task_service_pb2.TaskUpdate(output=common_pb2.RunOutput(contents=["x" * length])) for _ in range(2)]
    whole = task_service_pb2.WatchTaskResponse(updates=updates).SerializeToString()
    assert repeated([update.SerializeToString() for update in updates]) == whole


def test_both_sides_of_the_run_stream_have_the_same_envelope() -> None:
    orders = [pb.RunServerMessage(cancel_run=pb.CancelRun(run_id=run_id)) for run_id in "ab"]
    parts = [order.SerializeToString() for order in orders]
    assert envelope(parts) == pb.RunServerMessage(batch=pb.RunServerBatch(messages=orders)).SerializeToString()


def test_one_message_needs_no_envelope() -> None:
    assert envelope([b"alone"]) == b"alone"


@given(st.lists(st.binary(max_size=20), max_size=30), st.integers(1, 50), st.integers(1, 5))
def test_groups_keep_order_and_limits(parts: list[bytes], max_bytes: int, max_parts: int) -> None:
    groups = list(grouped(parts, max_bytes, max_parts))
    assert [part for group in groups for part in group] == parts
    assert all(0 < len(group) <= max_parts for group in groups)
    assert all(len(group) == 1 or sum(map(len, group)) <= max_bytes for group in groups)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=20), st.integers(1, 40), st.integers(0, 99))
def test_pieces_hold_every_chunk_once_under_its_number(contents: list[str], max_bytes: int, first_seq: int) -> None:
    cut = list(pieces(OutputSegment("r", first_seq, tuple(contents)), max_bytes))
    assert [text for piece in cut for text in piece.contents] == contents
    assert [piece.first_seq for piece in cut[1:]] == [piece.first_seq + len(piece.contents) for piece in cut[:-1]]
    assert cut[0].first_seq == first_seq
    sizes = [sum(len(text.encode()) for text in piece.contents) for piece in cut]
    assert all(size <= max_bytes or len(piece.contents) == 1 for size, piece in zip(sizes, cut, strict=True))


def test_an_entry_is_cut_so_that_a_reader_can_begin_at_any_piece() -> None:
    entry = StoryEntry(10, 5, OutputSegment("r", 3, ("aa", "bb", "cc")))
    assert list(entry_pieces(entry, 4)) == [
        StoryEntry(10, 5, OutputSegment("r", 3, ("aa", "bb"))),
        StoryEntry(12, 5, OutputSegment("r", 5, ("cc",))),
    ]
    event = StoryEntry(1, 5, RunEvent("r", RunEventType.TOOL_REQUESTED))
    assert list(entry_pieces(event, 1)) == [event]
