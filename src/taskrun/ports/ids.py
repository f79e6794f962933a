"""New ids, from outside."""

from __future__ import annotations

from typing import Protocol


class IdSource(Protocol):
    """Makes ids for tasks, runs and tokens."""

    def __call__(self) -> str:
        """A UUIDv7 (RFC 9562) in text form: unique, and sorted as text in the order of making by one source."""
        ...
