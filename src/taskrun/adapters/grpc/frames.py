"""Many messages in one: what limits a Python gRPC server is the number of messages, not their bytes.

A frame is put together from messages that are bytes already, so its size is known exactly and nothing is copied into
a protobuf object only to be written again. Protobuf writes a field as its number and wire type, its length, its bytes
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from taskrun.domain.records import OutputSegment, StoryEntry

#: Of one frame of the run stream. One message alone may be larger.
MAX_FRAME_BYTES = 1024 * 1024
MAX_FRAME_MESSAGES = 1000

#: Number and wire type of field 1 and of field 100, both length-delimited.
_FIELD_1 = b"\x0a"
_FIELD_100 = b"\xa2\x06"


def repeated(parts: Iterable[bytes]) -> bytes:
    """A message whose field 1 holds all of these messages."""
    return b"".join([piece for part in parts for piece in (_FIELD_1, _varint(len(part)), part)])


def envelope(parts: Sequence[bytes]) -> bytes:
    """One message of the run stream: the only part itself, or a batch of all of them."""
    if len(parts) == 1:
        return parts[0]
    batch = repeated(parts)
    return b"".join((_FIELD_100, _varint(len(batch)), batch))


def grouped(
    parts: Iterable[bytes], max_bytes: int = MAX_FRAME_BYTES, max_parts: int = MAX_FRAME_MESSAGES
) -> Iterator[list[bytes]]:
    """The parts in order, as many at a time as fit into a frame, at least one."""
    group: list[bytes] = []
    size = 0
    for part in parts:
        if group and (size + len(part) > max_bytes or len(group) == max_parts):
            yield group
            group, size = [], 0
        group.append(part)
        size += len(part)
    if group:
        yield group


def pieces(segment: OutputSegment, max_bytes: int = MAX_FRAME_BYTES) -> Iterator[OutputSegment]:
    """The segment as segments of at most so many bytes of text, at least one chunk each; the whole one if it fits."""
    contents = segment.contents
    # No character of UTF-8 takes more than four bytes.
    if sum(map(len, contents)) * 4 <= max_bytes:
        yield segment
        return
    start, size = 0, 0
    for index, text in enumerate(contents):
        length = len(text.encode(errors="replace"))
        if index > start and size + length > max_bytes:
            yield _cut(segment, start, index)
            start, size = index, 0
        size += length
    yield _cut(segment, start, len(contents))


def entry_pieces(entry: StoryEntry, max_bytes: int) -> Iterator[StoryEntry]:
    """The entry as entries of at most so many bytes of text, at least one chunk each."""
    body = entry.body
    if not isinstance(body, OutputSegment):
        yield entry
        return
    for piece in pieces(body, max_bytes):
        yield StoryEntry(entry.seq + piece.first_seq - body.first_seq, entry.at_ms, piece)


def _cut(segment: OutputSegment, start: int, end: int) -> OutputSegment:
    return OutputSegment(
        segment.run_id, segment.first_seq + start, segment.contents[start:end], segment.metadata, segment.truncated
    )


def _varint(number: int) -> bytes:
    if number < 128:
        return _SMALL[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = [bytes((number,)) for number in range(128)]
