"""Workers, as the scheduler sees them: slots, and who has the fewest taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from taskrun.domain.records import Labels, Requirement
from taskrun.domain.scheduling.keys import Key

if TYPE_CHECKING:
    from taskrun.domain.scheduling.needs import Need


@dataclass(eq=False, slots=True)
class Seat(Generic[Key]):
    """A worker's slots, and the needs that it serves."""

    key: Key
    #: In the order in which it names them: a set has another in each process.
    agents: Mapping[str, None]
    labels: Labels
    slots: int
    taken: int = 0
    reserved: int = 0
    #: A worker that drains, failed or refused a run is not offered any.
    open: bool = True
    needs: list[Need[Key]] = field(default_factory=list)
    #: The load under which the needs list it, or None while they do not.
    listed: int | None = None
    #: What of its slots counts in the scheduler's `vacant`.
    counted: int = 0

    @property
    def free(self) -> int:
        """Slots that can be given away."""
        return self.slots - self.taken - self.reserved if self.open else 0

    @property
    def vacant(self) -> int:
        """Those set aside too: nobody has them yet. Who was told to have fewer slots may have more runs than those."""
        return max(0, self.slots - self.taken) if self.open else 0

    def fits(self, requirement: Requirement) -> bool:
        """Whether it offers the agent and has the labels."""
        return requirement.agent in self.agents and all(self.labels.get(k) == v for k, v in requirement.selector)


class Ranking(Generic[Key]):
    """Seats by load, and by arrival among equals. Loads are few and small, so they are simply buckets."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Seat[Key], None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, seat: Seat[Key], load: int) -> None:
        """The seat has this load."""
        self._count += 1
        bucket = self._buckets.get(load)
        if bucket is None:
            self._buckets[load] = {seat: None}
        else:
            bucket[seat] = None

    def remove(self, seat: Seat[Key], load: int) -> None:
        """The seat, which has this load, is no longer offered."""
        self._count -= 1
        bucket = self._buckets[load]
        del bucket[seat]
        if not bucket:
            del self._buckets[load]

    def first(self) -> Seat[Key] | None:
        """The least loaded."""
        return next(iter(self._buckets[min(self._buckets)])) if self._buckets else None
