"""How often each of many may do something: the generic cell rate algorithm (ITU-T I.371).

Who was idle may do so several times at once, and then once each time that `every` has passed. What an account may do at
once beyond the first is its leeway, in seconds: (n - 1) times `every`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)

#: Accounts of which it is known when they may go on; those that may are forgotten when there are more, or twice as many
#: as last stayed.
_MANY = 4096
#: Seconds that are only what the arithmetic made of none.
_NOTHING = 1e-6


class Pacing(Generic[Name]):
    """What accounts have used up. Each call is O(1), but for the forgetting. Times are seconds, monotonic."""

    def __init__(self) -> None:
        #: When the account would have used up what it was given, had it come evenly.
        self._even: dict[Name, float] = {}
        self._many = _MANY

    def __len__(self) -> int:
        """Accounts that are remembered."""
        return len(self._even)

    def wait(self, name: Name, leeway: float, mono: float) -> float:
        """Seconds until the account may go on; 0 if now."""
        wait = self._even.get(name, mono) - mono - leeway
        return wait if wait > _NOTHING else 0.0

    def count(self, name: Name, every: float, mono: float) -> None:
        """The account did it once more."""
        self._note(name, max(self._even.get(name, mono), mono) + every, mono)

    def must_wait(self, name: Name, wait: float, leeway: float, mono: float) -> None:
        """Somebody else has counted: it may not go on before these seconds have passed."""
        self._note(name, mono + wait + leeway, mono)

    def _note(self, name: Name, even: float, mono: float) -> None:
        if len(self._even) >= self._many:
            self._even = {name: even for name, even in self._even.items() if even > mono}
            self._many = max(_MANY, 2 * len(self._even))
        self._even[name] = even
