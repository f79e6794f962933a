"""Several control planes that share a store, and the order in which somebody tries them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Place = TypeVar("Place")

Chance = Callable[[], float]


class Rota(Generic[Place]):
    """Goes through places in rounds, each place once a round and each round in an order of its own.

    Chance spreads those who come over the places. The place that was tried last is the last of the next round: who has
    just failed is the least likely to answer now.
    """

    def __init__(self, places: Sequence[Place], chance: Chance, first: Place | None = None) -> None:
        """`places` are different from each other, at least one. `chance` gives numbers from 0 to 1.

        The first round begins with `first`, if it is given.
        """
        self._places, self._chance = tuple(places), chance
        self._left = self._shuffled(None) if first is None else [first, *self._shuffled(first)]
        self._last: Place | None = None

    def next(self) -> Place:
        """The place to try now; after the last one of a round the next round begins."""
        if not self._left:
            self._left = self._shuffled(self._last)
            self._left += [place for place in self._places if place == self._last]
        self._last = self._left.pop(0)
        return self._last

    @property
    def left(self) -> int:
        """How many places this round has left to try."""
        return len(self._left)

    def held(self) -> None:
        """The place that was tried last is good: should it fail later, the round has all others to try."""
        self._left = self._shuffled(self._last)

    def _shuffled(self, but: Place | None) -> list[Place]:
        """All places but one, in an order that is as likely as any other (Fisher and Yates)."""
        places = [place for place in self._places if place != but]
        for end in range(len(places) - 1, 0, -1):
            # A chance of exactly 1 would be behind the end.
            other = min(int(self._chance() * (end + 1)), end)
            places[end], places[other] = places[other], places[end]
        return places
