"""How much room what a run says takes in its task's story."""

from __future__ import annotations

from collections.abc import Iterable

from taskrun.domain.records import Labels, OutputSegment, RunEvent, RunMessage

#: What an entry of the story, and each chunk in it, takes beside its text: a run must not be able to fill a store with
#: nothing.
ENTRY_BYTES = 64
CHUNK_BYTES = 8


def size_of(body: OutputSegment | RunEvent | RunMessage) -> int:
    """In bytes, by and large."""
    if isinstance(body, OutputSegment):
        return ENTRY_BYTES + CHUNK_BYTES * len(body.contents) + _utf8(body.contents) + _pairs(body.metadata)
    if isinstance(body, RunEvent):
        return ENTRY_BYTES + len(body.id) + _pairs(body.metadata)
    return ENTRY_BYTES + _utf8((body.content,))


def _pairs(pairs: Labels) -> int:
    return _utf8((*pairs, *pairs.values())) if pairs else 0


def _utf8(texts: Iterable[str]) -> int:
    return len("".join(texts).encode())
