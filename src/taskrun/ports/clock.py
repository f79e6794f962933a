"""Time, from outside. Nothing in domain or engine reads a clock in any other way."""

from __future__ import annotations

from typing import Protocol

from taskrun.domain.now import Now

__all__ = ["Clock", "Now"]


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> Now:
        """This moment. `mono` never goes back."""
        ...

    async def sleep_until(self, mono: float) -> None:
        """Returns once `now().mono >= mono`; at once if that is so already."""
        ...
