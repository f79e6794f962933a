"""Whose turn it is: start-time fair queueing (Goyal, Vin and Cheng, 1996) with tasks of one size.

Time here is counted in turns. Whoever waits has a time at which its next turn begins; the earliest goes first, and the
common clock stands where the last turn began. A turn begins at the clock or later: so who comes back, or waited where
only others were served, has saved nothing up, and goes first once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskrun.domain.scheduling.accounts import Account
    from taskrun.domain.scheduling.needs import Need, WaitingLine


@dataclass(eq=False, slots=True)
class TurnClock:
    """Where the last turn of all that go by it began."""

    at: int = 0


@dataclass(eq=False, slots=True)
class Turns:
    """One of those that take turns."""

    clock: TurnClock
    #: When its next turn begins, unless the clock is past that.
    next: int = 0

    def take(self, count: int) -> None:
        """It has so many turns, one after the other."""
        begin = max(self.next, self.clock.at)
        self.clock.at = begin + count - 1
        self.next = begin + count


@dataclass(eq=False, slots=True)
class Party:
    """All whose tasks have their turns in common."""

    turns: Turns
    number: int
    #: Between its crowds turns go round in the same way.
    within: TurnClock = field(default_factory=TurnClock)


@dataclass(eq=False, slots=True)
class Crowd:
    """Those of a party whom the same limits hold. A claim is for one crowd, and so never for more than they allow."""

    party: Party
    turns: Turns
    #: Of its accounts those that limit how many run at once.
    holding: tuple[Account[Any], ...]
    #: By need.
    lines: dict[Need[Any], dict[WaitingLine[Any], None]] = field(default_factory=dict)

    @property
    def room(self) -> float:
        """How many more of its tasks may run."""
        return min([account.room for account in self.holding], default=math.inf)

    def take(self, count: int) -> None:
        """It has so many turns."""
        self.party.turns.take(count)
        self.turns.take(count)
