"""Time, from outside. Nothing in domain or engine reads a clock in any other way."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Now(NamedTuple):
    """One moment on both clocks."""

    #: Seconds on a clock that never jumps; for deadlines. Only differences mean anything.
    mono: float
    #: Unix milliseconds, UTC; for records. May jump.
    utc_ms: int


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> Now:
        """This moment. `mono` never goes back."""
        ...

    async def sleep_until(self, mono: float) -> None:
        """Returns once `now().mono >= mono`; at once if that is so already."""
        ...
