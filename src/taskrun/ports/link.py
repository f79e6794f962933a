"""The worker's way to its control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from taskrun.domain.protocol import FromWorker, Hello, ToWorker


class Link(Protocol):
    """One open stream. One reader and one writer use it."""

    def incoming(self) -> AsyncIterator[Sequence[ToWorker]]:
        """What the control plane sends, as it comes. Ends, or raises `Unavailable`, when the stream is over;
        raises `PermissionDenied` or `Unauthenticated` when coming again is no use, and `InvalidArgument` when
        saying the same again is none."""
        ...

    async def send(self, messages: Sequence[FromWorker]) -> int:
        """Writes the messages in one go where the peer knows batches; returns when the transport took them.

        Returns how many messages of the transport that were: what the control plane says to have `Stored` counts
        these, in the order in which they were sent. Raises `Unavailable` when the stream is over.
        """
        ...

    async def close(self) -> None:
        """Ends the stream; doing it twice is harmless."""
        ...


class Connector(Protocol):
    """Opens links to one control plane. Its `str()` says for people which that is."""

    async def connect(self, hello: Hello) -> Link:
        """Opens a stream and sends the hello.

        Raises `Unavailable` when nobody answers, or whoever does is not ready. Its message says who: there may be
        several control planes, and nobody else knows which one this was.
        """
        ...
