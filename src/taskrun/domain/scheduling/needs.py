"""Who waits, and for what: a *need* is an agent with the labels that its worker must have; within it, a line for each
share. All lines of a need are served by the same workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from typing import Generic

from taskrun.domain.records import Requirement
from taskrun.domain.scheduling.accounts import Account
from taskrun.domain.scheduling.keys import Key
from taskrun.domain.scheduling.seats import Ranking, Seat
from taskrun.domain.scheduling.turns import Crowd

#: When its next turn begins: its party's, of equals the older party's; within a party its crowd's, and the older
#: line's. No two lines have one place.
Place = tuple[int, int, int, int]


@dataclass(eq=False, slots=True)
class Need(Generic[Key]):
    """Who can serve it, and whose turn it is."""

    requirement: Requirement
    ready: Ranking[Key] = field(default_factory=Ranking)
    seats: dict[Seat[Key], None] = field(default_factory=dict)
    lines: dict[WaitingLine[Key], None] = field(default_factory=dict)
    #: Of its lines that are not parked, how many wait for whom no claim is under way.
    unserved: int = 0
    #: Lines of which somebody may wait. Places only grow: one that is out of date comes up early, and is put right.
    _turns: list[tuple[Place, WaitingLine[Key]]] = field(default_factory=list)

    def first(self) -> WaitingLine[Key] | None:
        """The line whose turn it is, of those that no limit holds."""
        turns = self._turns
        while turns:
            place, line = turns[0]
            full = line.full() if line.unserved else None
            if line.unserved and full is None:
                if place == line.place:
                    return line
                heapreplace(turns, (line.place, line))
                continue
            heappop(turns)
            line.queued = False
            if full is not None:
                line.park(full)
        return None

    @property
    def contested(self) -> bool:
        """Whether several lines may take turns."""
        return len(self._turns) > 1

    def add(self, line: WaitingLine[Key]) -> None:
        """The line takes part in the turns."""
        heappush(self._turns, (line.place, line))
        line.queued = True

    def of(self, crowd: Crowd) -> Iterator[WaitingLine[Key]]:
        """Of the crowd's lines those in which somebody waits for whom no claim is under way."""
        return (line for line in crowd.lines.get(self, ()) if line.unserved)


@dataclass(eq=False, slots=True)
class WaitingLine(Generic[Key]):
    """Tasks of one share that wait for one need."""

    requirement: Requirement
    need: Need[Key]
    crowd: Crowd
    number: int
    #: Where its tasks are counted.
    accounts: tuple[Account[Key], ...] = ()
    waiting: int = 0
    #: Of those that wait, how many a claim under way is meant for.
    promised: int = 0
    #: Runs of its tasks that workers have.
    running: int = 0
    #: It takes part in the turns of its need.
    queued: bool = False
    #: The account that it waits for, which was full.
    held_by: Account[Key] | None = None

    @property
    def unserved(self) -> int:
        """How many wait for whom no claim is under way."""
        return self.waiting - self.promised if self.waiting > self.promised else 0

    @property
    def place(self) -> Place:
        """When its next turn begins."""
        crowd = self.crowd
        return (crowd.party.turns.next, crowd.party.number, crowd.turns.next, self.number)

    @property
    def idle(self) -> bool:
        """Nothing would be lost with it."""
        return not (self.waiting or self.promised or self.running)

    def full(self) -> Account[Key] | None:
        """The account that holds it."""
        return next((account for account in self.crowd.holding if account.room <= 0), None)

    def change(self, *, waiting: int = 0, promised: int = 0) -> None:
        """So many more wait, and so many more of them are promised a slot."""
        had, before = self.waiting, self.unserved
        self.waiting = has = max(0, had + waiting)
        self.promised = promises = max(0, self.promised + promised)
        after = has - promises if has > promises else 0
        for account in self.accounts:
            account.waiting += has - had
        if self.held_by is not None:
            self.held_by.held[self.held_by.name.key] += has - had
        elif after != before:
            self.need.unserved += after - before
            if after and not self.queued:
                self.need.add(self)
            elif not after:
                self._pass_on()

    def run(self, count: int) -> None:
        """So many more run, or are about to."""
        for account in self.crowd.holding:
            account.running += count

    def park(self, account: Account[Key]) -> None:
        """It is not looked at before this account has room."""
        self.held_by = account
        account.held[account.name.key] += self.waiting
        self.need.unserved -= self.unserved
        account.park(self)
        self._pass_on()

    def _pass_on(self) -> None:
        """It may have been let go in place of others, and does not use the room that accounts still have."""
        for account in self.crowd.holding:
            account.invite(self.need)

    def unpark(self) -> bool:
        """It takes part in the turns again, if somebody waits in it."""
        assert self.held_by is not None
        self.held_by.held[self.held_by.name.key] -= self.waiting
        self.held_by = None
        if self.unserved:
            self.need.unserved += self.unserved
            self.need.add(self)
        return self.unserved > 0
