"""Where everybody sits: who offers which agents, who serves which needs, and how many slots of each are free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic

from taskrun.domain.records import Labels
from taskrun.domain.scheduling.keys import Key
from taskrun.domain.scheduling.needs import Need
from taskrun.domain.scheduling.seats import Seat


@dataclass(slots=True)
class _Agent(Generic[Key]):
    """Who offers an agent, and the needs that ask for it."""

    seats: dict[Seat[Key], None] = field(default_factory=dict)
    needs: dict[Need[Key], None] = field(default_factory=dict)


class Seating(Generic[Key]):
    """Seats by the key of their worker. A seat with a free slot for which somebody may wait is *stirred*."""

    def __init__(self) -> None:
        self._seats: dict[Key, Seat[Key]] = {}
        self._agents: dict[str, _Agent[Key]] = {}
        self._stirred: dict[Seat[Key], None] = {}
        #: Slots that are taken, and those that a task could get: none of a worker that is not offered any.
        self.taken = 0
        self.vacant = 0

    def __getitem__(self, key: Key) -> Seat[Key]:
        return self._seats[key]

    def __iter__(self) -> Iterator[Seat[Key]]:
        return iter(self._seats.values())

    def find(self, key: Key) -> Seat[Key] | None:
        """The worker's seat, if it is known."""
        return self._seats.get(key)

    def offering(self, agent: str) -> int:
        """How many workers offer the agent, for which there is a need."""
        return len(self._agents[agent].seats)

    # Workers come and go.

    def join(self, key: Key, agents: Iterable[str], labels: Labels, slots: int, taken: int) -> None:
        """A new worker."""
        assert key not in self._seats
        seat = Seat(key, dict.fromkeys(agents), labels, slots, taken)
        self._seats[key] = seat
        self.taken += taken
        for name in seat.agents:
            agent = self._agent(name)
            agent.seats[seat] = None
            for need in agent.needs:
                if seat.fits(need.requirement):
                    _enter(seat, need)
        self.list(seat)

    def leave(self, key: Key) -> None:
        """The worker is gone, with all its slots; harmless if it is not known."""
        seat = self._seats.pop(key, None)
        if seat is None:
            return
        seat.open = False
        self.list(seat)
        self._stirred.pop(seat, None)
        for need in seat.needs:
            del need.seats[seat]
            self.stir(need)
        for name in seat.agents:
            agent = self._agents[name]
            del agent.seats[seat]
            self._forget_if_unused(name, agent)
        self.taken -= seat.taken

    # Needs come and go.

    def open(self, need: Need[Key]) -> None:
        """A need that is new, with those who can serve it."""
        agent = self._agent(need.requirement.agent)
        agent.needs[need] = None
        for seat in agent.seats:
            if seat.fits(need.requirement):
                _enter(seat, need)
                if seat.listed is not None:
                    need.ready.add(seat, seat.listed)

    def close(self, need: Need[Key]) -> None:
        """Nobody asks for it any more."""
        for seat in need.seats:
            seat.needs.remove(need)
        agent = self._agents[need.requirement.agent]
        del agent.needs[need]
        self._forget_if_unused(need.requirement.agent, agent)

    # Slots.

    def take(self, seat: Seat[Key], count: int = 1) -> None:
        """So many more of its slots are taken, or, below 0, so many fewer."""
        seat.taken += count
        self.taken += count
        self.list(seat)

    def list(self, seat: Seat[Key]) -> None:
        """Counts and ranks the seat anew; a seat with a free slot may have somebody waiting for it."""
        vacant = seat.vacant
        self.vacant += vacant - seat.counted
        seat.counted = vacant
        listed, load = seat.listed, (seat.taken + seat.reserved) if seat.free > 0 else None
        if load != listed:
            for need in seat.needs:
                if listed is not None:
                    need.ready.remove(seat, listed)
                if load is not None:
                    need.ready.add(seat, load)
            seat.listed = load
        if load is not None:
            self._stirred[seat] = None

    # Who may be waited for.

    def stir(self, need: Need[Key]) -> None:
        """Somebody may have begun to wait for this."""
        if need.unserved > 0:
            seat = need.ready.first()
            if seat is not None:
                self._stirred[seat] = None

    def stir_all(self) -> None:
        """Anybody may wait for anything."""
        for seat in self:
            if seat.free > 0:
                self._stirred[seat] = None

    def wanted(self) -> Iterator[Seat[Key]]:
        """Seats with a free slot for which somebody waits whom no limit holds, until there is none: whoever is given
        one is to be seen to, by `list`, before the next is asked for."""
        while self._stirred:
            stirred = next(iter(self._stirred))
            need = next((need for need in stirred.needs if need.unserved > 0 and need.first() is not None), None)
            if need is None or stirred.free <= 0:
                del self._stirred[stirred]
                # Its slots may have gone to others meanwhile: whoever waited for one of them may fit elsewhere.
                for other in stirred.needs:
                    self.stir(other)
                continue
            seat = need.ready.first()
            assert seat is not None
            yield seat

    def _agent(self, name: str) -> _Agent[Key]:
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = _Agent()
        return agent

    def _forget_if_unused(self, name: str, agent: _Agent[Key]) -> None:
        if not agent.seats and not agent.needs:
            del self._agents[name]


def _enter(seat: Seat[Key], need: Need[Key]) -> None:
    seat.needs.append(need)
    need.seats[seat] = None
