"""Which worker gets a task: a pure scheduler, usable by itself.

A *requirement* (an agent, and labels that the worker must carry) is served by the workers that fit it; of those with a
free slot the least loaded goes first, and of equals the one that waited longest. What finds no slot waits. The
scheduler never holds the waiting tasks, only how many wait for each requirement: whoever keeps the queue is asked for
the next ones by a `Claim`, for which slots are set aside until it is settled.

Every operation costs O(log n) or less in workers and tasks. A worker pays for each requirement in use that it fits;
the workers of an agent are looked through once, when a requirement is first seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from taskrun.domain.records import Labels, Requirement
from taskrun.domain.values import value

Key = TypeVar("Key", bound=Hashable)

#: Requirements that nobody waits for are forgotten when more than this many are known, or twice as many as last stayed.
_MANY_LANES = 4096


@dataclass(eq=False, slots=True)
class _Seat(Generic[Key]):
    """A worker's slots, and the lanes it serves."""

    key: Key
    #: In the order in which it names them: a set has another in each process.
    agents: Mapping[str, None]
    labels: Labels
    slots: int
    taken: int = 0
    reserved: int = 0
    #: A worker that drains, failed or refused a run is not offered any.
    open: bool = True
    lanes: list[_Lane[Key]] = field(default_factory=list)
    #: The load under which the lanes list it, or None while they do not.
    listed: int | None = None
    #: What of its slots counts in the scheduler's `vacant`.
    counted: int = 0

    @property
    def free(self) -> int:
        return self.slots - self.taken - self.reserved if self.open else 0

    @property
    def vacant(self) -> int:
        """Those set aside too: nobody has them yet. Who was told to have fewer slots may have more runs than those."""
        return max(0, self.slots - self.taken) if self.open else 0

    def fits(self, requirement: Requirement) -> bool:
        return requirement.agent in self.agents and all(self.labels.get(k) == v for k, v in requirement.selector)


class _Ranking(Generic[Key]):
    """Seats by load, and by arrival among equals. Loads are few and small, so they are simply buckets."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[_Seat[Key], None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, seat: _Seat[Key], load: int) -> None:
        self._count += 1
        bucket = self._buckets.get(load)
        if bucket is None:
            self._buckets[load] = {seat: None}
        else:
            bucket[seat] = None

    def remove(self, seat: _Seat[Key], load: int) -> None:
        self._count -= 1
        bucket = self._buckets[load]
        del bucket[seat]
        if not bucket:
            del self._buckets[load]

    def first(self) -> _Seat[Key] | None:
        return next(iter(self._buckets[min(self._buckets)])) if self._buckets else None


@dataclass(eq=False, slots=True)
class _Lane(Generic[Key]):
    """One requirement: who can serve it, and how many wait for it."""

    requirement: Requirement
    ready: _Ranking[Key] = field(default_factory=_Ranking)
    seats: dict[_Seat[Key], None] = field(default_factory=dict)
    waiting: int = 0
    #: Of those that wait, how many a claim under way is meant for.
    promised: int = 0

    @property
    def unserved(self) -> int:
        return self.waiting - self.promised


@dataclass(slots=True)
class _Agent(Generic[Key]):
    """Who offers an agent, and the lanes that ask for it."""

    seats: dict[_Seat[Key], None] = field(default_factory=dict)
    lanes: dict[_Lane[Key], None] = field(default_factory=dict)


@value(frozen=True, slots=True)
class Claim(Generic[Key]):
    """Ask the queue for up to `limit` tasks of these requirements; as many slots of `key` are set aside for them.

    `promises` says how many of the waiting of each requirement the claim is meant for, in order.
    """

    key: Key
    requirements: tuple[Requirement, ...]
    limit: int
    promises: tuple[int, ...]


class Scheduler(Generic[Key]):
    """Workers are known by any hashable key of the caller's."""

    def __init__(self) -> None:
        self._seats: dict[Key, _Seat[Key]] = {}
        self._agents: dict[str, _Agent[Key]] = {}
        self._lanes: dict[Requirement, _Lane[Key]] = {}
        self._many_lanes = _MANY_LANES
        self._stirred: dict[_Seat[Key], None] = {}
        #: Who began to wait since the queue was last asked for claims.
        self._came = Counter[Requirement]()
        #: Slots that are taken, and those that a task could get: none of a worker that is not offered any.
        self.taken = 0
        self.vacant = 0

    # Workers.

    def join(self, key: Key, agents: Iterable[str], labels: Labels, slots: int, taken: int = 0) -> None:
        """A worker with `slots` slots, of which it brings `taken` along as taken. `key` must not be known."""
        assert key not in self._seats
        seat = _Seat(key, dict.fromkeys(agents), labels, slots, taken)
        self._seats[key] = seat
        self.taken += taken
        for name in seat.agents:
            agent = self._agent(name)
            agent.seats[seat] = None
            for lane in agent.lanes:
                if seat.fits(lane.requirement):
                    self._enter(seat, lane)
        self._list(seat)

    def leave(self, key: Key) -> None:
        """The worker is gone, with all its slots; harmless if it is not known."""
        seat = self._seats.pop(key, None)
        if seat is None:
            return
        seat.open = False
        self._list(seat)
        for lane in seat.lanes:
            del lane.seats[seat]
        for name in seat.agents:
            agent = self._agents[name]
            del agent.seats[seat]
            self._forget_if_unused(name, agent)
        self.taken -= seat.taken

    def resize(self, key: Key, slots: int) -> None:
        """The worker now has this many slots in all. Fewer than are taken only means that none is free."""
        seat = self._seats[key]
        seat.slots = slots
        self._list(seat)

    def offer(self, key: Key, *, open: bool) -> None:
        """Whether the worker is to be given anything at all."""
        seat = self._seats[key]
        seat.open = open
        self._list(seat)

    # Slots.

    def place(self, requirement: Requirement) -> Key | None:
        """Takes a slot of the least loaded worker that fits; None if there is no free one, or others wait for it.

        Others are all that wait for a slot of that worker, whatever they require: who of them goes first is decided by
        priority and age, and that only the queue knows.
        """
        lane = self._lane(requirement)
        seat = lane.ready.first()
        if seat is None:
            return None
        for rival in seat.lanes:
            if rival.unserved > 0:
                return None
        self._take(seat)
        return seat.key

    def replace(self, requirement: Requirement) -> Key | None:
        """Like `place`, for a task that has waited already and goes before those that wait."""
        seat = self._lane(requirement).ready.first()
        if seat is None:
            return None
        self._take(seat)
        return seat.key

    def take(self, key: Key, requirement: Requirement) -> bool:
        """Takes a slot of this worker, if it is known, fits and has a free one."""
        seat = self._seats.get(key)
        if seat is None or seat.free <= 0 or not seat.fits(requirement):
            return False
        self._take(seat)
        return True

    def release(self, key: Key) -> None:
        """Gives a slot back; harmless if the worker is gone."""
        seat = self._seats.get(key)
        if seat is not None:
            seat.taken -= 1
            self.taken -= 1
            self._list(seat)

    # The queue's side.

    def wait(self, requirement: Requirement, count: int = 1) -> None:
        """So many more wait for this."""
        lane = self._lane(requirement)
        lane.waiting += count
        self._came[requirement] += count
        self._stir(lane)

    def unwait(self, requirement: Requirement, count: int = 1) -> None:
        """So many wait no longer."""
        lane = self._lane(requirement)
        lane.waiting = max(0, lane.waiting - count)

    def dry(self, requirement: Requirement) -> None:
        """The queue had nobody more for this: others have taken them. Only those wait that came since it was asked."""
        lane = self._lane(requirement)
        lane.waiting = min(lane.waiting, self._came[requirement])

    def recount(self, waiting: Mapping[Requirement, int]) -> None:
        """At least so many wait, as the queue says: others put tasks in too. What they take out shows when dry."""
        for requirement, count in waiting.items():
            lane = self._lane(requirement)
            lane.waiting = max(lane.waiting, count)
            self._stir(lane)

    def waiting(self, requirement: Requirement) -> int:
        """How many wait for this."""
        lane = self._lanes.get(requirement)
        return lane.waiting if lane else 0

    def serving(self, requirement: Requirement) -> tuple[int, int]:
        """How many workers offer the agent, and how many of these have the labels too: with a free slot or without."""
        lane = self._lane(requirement)
        return len(self._agents[requirement.agent].seats), len(lane.seats)

    def claims(self) -> Iterator[Claim[Key]]:
        """What to ask the queue for now: every free slot that somebody waits for is set aside by one of these.

        Workers that are free for the same get equal shares of it, the least loaded first.
        """
        self._came.clear()
        while self._stirred:
            stirred = next(iter(self._stirred))
            lane = next((lane for lane in stirred.lanes if lane.unserved > 0), None)
            if lane is None or stirred.free <= 0:
                del self._stirred[stirred]
                # Its slots may have gone to others meanwhile: whoever waited for one of them may fit elsewhere.
                for other in stirred.lanes:
                    self._stir(other)
                continue
            seat = lane.ready.first()
            assert seat is not None
            yield self._claim(seat)

    def _claim(self, seat: _Seat[Key]) -> Claim[Key]:
        lanes = [lane for lane in seat.lanes if lane.unserved > 0]
        left, promises = seat.free, []
        for lane in lanes:
            promise = min(left, -(-lane.unserved // len(lane.ready)))
            lane.promised += promise
            left -= promise
            promises.append(promise)
        limit = seat.free - left
        seat.reserved += limit
        self._list(seat)
        for lane in lanes:
            self._stir(lane)
        return Claim(seat.key, tuple(lane.requirement for lane in lanes), limit, tuple(promises))

    def settle(self, claim: Claim[Key]) -> None:
        """The claim was answered: the slots set aside are free for the tasks it gave, by `take` or `replace`.

        Say by `unwait` what it took out of the queue before this.
        """
        seat = self._seats.get(claim.key)
        if seat is not None:
            seat.reserved -= claim.limit
            self._list(seat)
        for requirement, promise in zip(claim.requirements, claim.promises, strict=True):
            lane = self._lane(requirement)
            lane.promised = max(0, lane.promised - promise)
            self._stir(lane)

    # Inside.

    def _agent(self, name: str) -> _Agent[Key]:
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = _Agent()
        return agent

    def _forget_if_unused(self, name: str, agent: _Agent[Key]) -> None:
        if not agent.seats and not agent.lanes:
            del self._agents[name]

    def _lane(self, requirement: Requirement) -> _Lane[Key]:
        lane = self._lanes.get(requirement)
        if lane is None:
            lane = self._new_lane(requirement)
        return lane

    def _new_lane(self, requirement: Requirement) -> _Lane[Key]:
        if len(self._lanes) >= self._many_lanes:
            self._forget_idle_lanes()
        lane = self._lanes[requirement] = _Lane(requirement)
        agent = self._agent(requirement.agent)
        agent.lanes[lane] = None
        for seat in agent.seats:
            if seat.fits(requirement):
                self._enter(seat, lane)
                if seat.listed is not None:
                    lane.ready.add(seat, seat.listed)
        return lane

    def _forget_idle_lanes(self) -> None:
        for lane in [lane for lane in self._lanes.values() if not lane.waiting and not lane.promised]:
            del self._lanes[lane.requirement]
            for seat in lane.seats:
                seat.lanes.remove(lane)
            agent = self._agents[lane.requirement.agent]
            del agent.lanes[lane]
            self._forget_if_unused(lane.requirement.agent, agent)
        self._many_lanes = max(_MANY_LANES, 2 * len(self._lanes))

    def _enter(self, seat: _Seat[Key], lane: _Lane[Key]) -> None:
        seat.lanes.append(lane)
        lane.seats[seat] = None

    def _take(self, seat: _Seat[Key]) -> None:
        seat.taken += 1
        self.taken += 1
        self._list(seat)

    def _list(self, seat: _Seat[Key]) -> None:
        """Counts and ranks the seat anew; a seat with a free slot may have somebody waiting for it."""
        vacant = seat.vacant
        self.vacant += vacant - seat.counted
        seat.counted = vacant
        listed, load = seat.listed, (seat.taken + seat.reserved) if seat.free > 0 else None
        if load != listed:
            for lane in seat.lanes:
                if listed is not None:
                    lane.ready.remove(seat, listed)
                if load is not None:
                    lane.ready.add(seat, load)
            seat.listed = load
        if load is not None:
            self._stirred[seat] = None

    def _stir(self, lane: _Lane[Key]) -> None:
        if lane.unserved > 0:
            seat = lane.ready.first()
            if seat is not None:
                self._stirred[seat] = None
