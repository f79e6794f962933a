"""What a limit counts of one value of its key, and who waits until it has room.

A line whose account is full is *parked* there and not looked at again. When a run of the account ends, one line of each
need is let go: lines of one need are served by the same workers, those of different needs are not, and it may be that
only one of them finds a slot. So a full account costs nothing, however many lines it holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic

from taskrun.domain.quotas import AccountName, Limit
from taskrun.domain.scheduling.keys import Key

if TYPE_CHECKING:
    from taskrun.domain.scheduling.needs import Need, Place, WaitingLine


@dataclass(eq=False, slots=True)
class Account(Generic[Key]):
    """What there is of one value of a key."""

    name: AccountName
    limit: Limit
    #: By key, how many tasks are held; all accounts have it in common.
    held: Counter[str]
    waiting: int = 0
    #: Runs that workers have, and those for which a claim is under way.
    running: int = 0
    #: Others have used up the rest: see `Scheduler.shut`.
    shut: bool = False
    #: Lines that are counted here.
    lines: int = 0
    _parked: dict[Need[Key], list[tuple[Place, WaitingLine[Key]]]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many more may run. Less than one is none."""
        return 0 if self.shut or self.limit.running is None else self.limit.running - self.running

    @property
    def story(self) -> str:
        """Why it holds whom it holds, for people."""
        others = ", on all control planes together" if self.shut else ""
        runs, them = ("1 run", "it") if self.limit.running == 1 else (f"{self.limit.running} runs", "them")
        return f"a limit holds it: the {self.name} may have {runs} at once and has {them}{others}"

    def park(self, line: WaitingLine[Key]) -> None:
        """The line waits for room."""
        heappush(self._parked.setdefault(line.need, []), (line.place, line))

    def parking(self) -> list[Need[Key]]:
        """The needs of which lines wait for room, the one whose turn it is first: each is let go, but room there may be
        for one alone, and other workers serve the others."""
        return sorted(self._parked, key=lambda need: self._parked[need][0][0])

    def invite(self, need: Need[Key]) -> None:
        """If there is room, the first of the need's lines in which somebody waits is let go."""
        parked = self._parked.get(need)
        while parked and self.room > 0:
            _, line = heappop(parked)
            if not parked:
                del self._parked[need]
            if line.unpark():
                return
