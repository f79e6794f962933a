"""New tasks at the door: which of a commit's are too many to wait, or to be made in a minute, by what its first journey
has read. Who comes first is let in first; who finds no room uses up no rate, and who is over its rate takes no room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.adapters.stores.postgres.rates import Rates
from taskrun.adapters.stores.postgres.waiting import Rooms
from taskrun.domain.batch import Batch, RateTaken, TakeRate, TurnedAway
from taskrun.domain.quotas import AccountName, Figures
from taskrun.domain.records import Task

#: As `TurnedAway` tells it: the account, its figure, how many wait, and until when it has no more.
_Full = tuple[AccountName, int, int | None, float]


class Door:
    """Lets in new tasks, and those that are only asked for."""

    def __init__(self, rooms: Rooms, rates: Rates) -> None:
        self._rooms, self._rates = rooms, rates

    def turned_away(self, batch: Batch) -> list[TurnedAway]:
        """Those of the batch's new tasks that are too many; the others are let in."""
        late: dict[_Full, list[Task]] = {}
        for task_id in _in_order(batch):
            room, rates = batch.waiting.get(task_id, ()), batch.rates.get(task_id, ())
            full = self._full(room, rates)
            if full is None:
                self._rooms.let_in(room)
                self._rates.use(rates, 1)
            else:
                late.setdefault(full, []).append(batch.tasks[task_id])
        return [TurnedAway(tuple(tasks), *full) for full, tasks in late.items()]

    def take(self, ask: TakeRate) -> RateTaken:
        """As many as there are. Nobody's room is kept for it: what is granted may come to nothing."""
        room = self._rooms.left(ask.waiting) if ask.waiting else ask.wanted
        taken = self._rates.take(replace(ask, wanted=max(0, min(ask.wanted, room))))
        if taken.full is not None or taken.granted == ask.wanted:
            return replace(taken, ask=ask)
        account, _, waiting = self._rooms.fullest(ask.waiting)
        # Those of the same ask that were granted come first: who is left finds them there, too.
        return replace(taken, ask=ask, full=account, waiting=waiting + taken.granted)

    def charged(self) -> list[Statement]:
        """What has it known that rates are used up, where they are."""
        return self._rates.charged()

    def _full(self, room: Figures, rates: Figures) -> _Full | None:
        if room and self._rooms.left(room) <= 0:
            return (*self._rooms.fullest(room), 0.0)
        if rates and self._rates.left(rates) <= 0:
            account, figure, wait = self._rates.longest(rates)
            return account, figure, None, wait
        return None


def _in_order(batch: Batch) -> Iterator[str]:
    """The new tasks that may be too many, as they came."""
    if batch.waiting or batch.rates:
        yield from (task_id for task_id in batch.tasks if task_id in batch.waiting or task_id in batch.rates)
