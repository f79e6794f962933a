"""How long to stay away before the next attempt to connect."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Full jitter: a random part of a bound that doubles, so that a thousand workers do not come back at once."""

    def __init__(self, first: float, longest: float, chance: Callable[[], float]) -> None:
        """Seconds. `chance` gives numbers from 0 to 1."""
        self._first, self._longest, self._chance = first, longest, chance
        self._bound = first

    def next(self) -> float:
        """Seconds to wait after this failure."""
        delay = self._bound * self._chance()
        self._bound = min(2 * self._bound, self._longest)
        return delay

    def reset(self) -> None:
        """The connection held: the next failure is a first one."""
        self._bound = self._first
