"""Lists that may be longer than an answer: as many as fit are sent, and the next page begins where they end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import Message

from taskrun.adapters.grpc.options import MAX_MESSAGE_BYTES

#: Bytes of one page, which leaves room for its token.
MAX_PAGE_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
#: Of one entry: its field's number and its own length.
_OVERHEAD = 8

M = TypeVar("M", bound=Message)


def fitting(messages: Iterable[M]) -> list[M]:
    """As many of the first messages as fit into one page, at least one; those after them are not even made."""
    page: list[M] = []
    size = 0
    for message in messages:
        size += message.ByteSize() + _OVERHEAD
        if page and size > MAX_PAGE_BYTES:
            break
        page.append(message)
    return page
