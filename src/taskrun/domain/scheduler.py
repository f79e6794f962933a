"""Which worker gets a task: a pure scheduler, usable by itself.

A *requirement* (an agent, labels that the worker must carry, and whose the task is) is served by the workers that fit
it; of those with a free slot the least loaded goes first, and of equals the one that waited longest. What finds no slot
waits. The scheduler never holds the waiting tasks, only how many wait for each requirement: whoever keeps the queue is
asked for the next ones by a `Claim`, for which slots are set aside until it is settled.

Whose turn it is among those that wait for the same slots goes round, party by party, as the `Policy` has it: whoever
waits with few tasks is not kept by another's many. Whom a limit holds is passed over, and costs nothing until there is
room.

Every operation costs O(log n) or less in workers, tasks and shares. A worker pays for each need in use that it fits (an
agent with labels, whosoever asks for it); the workers of an agent are looked through once, when a need is first seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Generic

from taskrun.domain.quotas import FREE, AccountName, Policy
from taskrun.domain.records import Labels, Requirement
from taskrun.domain.scheduling.accounts import Account
from taskrun.domain.scheduling.keys import Key
from taskrun.domain.scheduling.lines import Lines
from taskrun.domain.scheduling.needs import Need, WaitingLine
from taskrun.domain.scheduling.seats import Seat
from taskrun.domain.scheduling.turns import Crowd
from taskrun.domain.values import value


@dataclass(slots=True)
class _Agent(Generic[Key]):
    """Who offers an agent, and the needs that ask for it."""

    seats: dict[Seat[Key], None] = field(default_factory=dict)
    needs: dict[Need[Key], None] = field(default_factory=dict)


@value(frozen=True, slots=True)
class Claim(Generic[Key]):
    """Ask the queue for up to `limit` tasks of these requirements; as many slots of `key` are set aside for them.

    `promises` says how many of the waiting of each requirement the claim is meant for, in order.
    """

    key: Key
    requirements: tuple[Requirement, ...]
    limit: int
    promises: tuple[int, ...]
    #: All of them are of accounts that limit how many run at once: these, and how many.
    limits: tuple[tuple[AccountName, int], ...] = ()


class Scheduler(Generic[Key]):
    """Workers are known by any hashable key of the caller's."""

    def __init__(self, policy: Policy = FREE, *, shared: bool = False) -> None:
        """`shared`: others give out tasks of the same queue. What is limited is then claimed, or placed as new."""
        self._seats: dict[Key, Seat[Key]] = {}
        self._agents: dict[str, _Agent[Key]] = {}
        self._lines: Lines[Key] = Lines(policy, self._open, self._close)
        self._shared = shared
        #: Accounts that were shut, and not opened again by all of them together.
        self._shut: dict[AccountName, None] = {}
        self._stirred: dict[Seat[Key], None] = {}
        #: Who began to wait since the queue was last asked for claims.
        self._came = Counter[Requirement]()
        #: Slots that are taken, and those that a task could get: none of a worker that is not offered any.
        self.taken = 0
        self.vacant = 0

    # Workers.

    def join(self, key: Key, agents: Iterable[str], labels: Labels, slots: int, taken: int = 0) -> None:
        """A worker with `slots` slots, of which it brings `taken` along as taken. `key` must not be known."""
        assert key not in self._seats
        seat = Seat(key, dict.fromkeys(agents), labels, slots, taken)
        self._seats[key] = seat
        self.taken += taken
        for name in seat.agents:
            agent = self._agent(name)
            agent.seats[seat] = None
            for need in agent.needs:
                if seat.fits(need.requirement):
                    self._enter(seat, need)
        self._list(seat)

    def leave(self, key: Key) -> None:
        """The worker is gone, with all its slots; harmless if it is not known."""
        seat = self._seats.pop(key, None)
        if seat is None:
            return
        seat.open = False
        self._list(seat)
        self._stirred.pop(seat, None)
        for need in seat.needs:
            del need.seats[seat]
            self._stir(need)
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
        """Takes a slot of the least loaded worker that fits; None if there is no free one, if others wait for it, or if
        a limit holds such tasks, which only a claim knows where others give them out too.

        Others are all that wait for a slot of that worker, whatever they require: who of them goes first is decided by
        turns, priority and age, and that only the queue knows.
        """
        if self._shared and self._lines.of(requirement).crowd.holding:
            return None
        return self.place_new(requirement)

    def place_new(self, requirement: Requirement) -> Key | None:
        """Like `place`, for a task of which the queue is told that it runs, and may say that a limit holds it."""
        line = self._lines.of(requirement)
        seat = line.need.ready.first()
        if seat is None or line.full() is not None:
            return None
        for rival in seat.needs:
            if rival.unserved > 0 and rival.first() is not None:
                return None
        line.crowd.take(1)
        self._take(seat)
        return seat.key

    def replace(self, requirement: Requirement) -> Key | None:
        """Like `place`, for a task that has waited already, was let through, and goes before those that wait."""
        seat = self._lines.of(requirement).need.ready.first()
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

    # Runs, which limits count wherever their workers are.

    def began(self, requirement: Requirement) -> None:
        """A worker has one more run of this."""
        line = self._lines.of(requirement)
        line.running += 1
        line.run(1)

    def ended(self, requirement: Requirement) -> None:
        """And one less: whoever waited for that may be next."""
        line = self._lines.of(requirement)
        line.running -= 1
        line.run(-1)
        for account in line.crowd.holding:
            account.shut = False
        self._invite(line.crowd)

    # The queue's side.

    def wait(self, requirement: Requirement, count: int = 1) -> None:
        """So many more wait for this."""
        line = self._lines.of(requirement)
        line.change(waiting=count)
        self._came[requirement] += count
        self._stir(line.need)

    def unwait(self, requirement: Requirement, count: int = 1) -> None:
        """So many wait no longer."""
        line = self._lines.of(requirement)
        line.change(waiting=-count)
        if line.crowd.holding:
            # What it does not use of their room may be another's.
            self._stir(line.need)

    def dry(self, requirement: Requirement) -> None:
        """The queue had nobody more for this: others have taken them. Only those wait that came since it was asked."""
        line = self._lines.of(requirement)
        self.unwait(requirement, max(0, line.waiting - self._came[requirement]))

    def recount(self, waiting: Mapping[Requirement, int]) -> None:
        """At least so many wait, as the queue says: others put tasks in too. What they take out shows when dry."""
        for requirement, count in waiting.items():
            line = self._lines.of(requirement)
            line.change(waiting=max(0, count - line.waiting))
            self._stir(line.need)

    def waiting(self, requirement: Requirement) -> int:
        """How many wait for this."""
        line = self._lines.find(requirement)
        return line.waiting if line else 0

    def serving(self, requirement: Requirement) -> tuple[int, int]:
        """How many workers offer the agent, and how many of these have the labels too: with a free slot or without."""
        need = self._lines.of(requirement).need
        return len(self._agents[requirement.agent].seats), len(need.seats)

    def claims(self) -> Iterator[Claim[Key]]:
        """What to ask the queue for now: every free slot that somebody waits for is set aside by one of these.

        Workers that are free for the same get equal shares of it, the least loaded first.
        """
        self._came.clear()
        while self._stirred:
            stirred = next(iter(self._stirred))
            need = next((need for need in stirred.needs if need.unserved > 0 and need.first() is not None), None)
            if need is None or stirred.free <= 0:
                del self._stirred[stirred]
                # Its slots may have gone to others meanwhile: whoever waited for one of them may fit elsewhere.
                for other in stirred.needs:
                    self._stir(other)
                continue
            seat = need.ready.first()
            assert seat is not None
            yield from self._claims(seat)

    def _claims(self, seat: Seat[Key]) -> list[Claim[Key]]:
        """One for each crowd that has turns at this worker's free slots."""
        claims = [self._claim(seat, crowd, promises) for crowd, promises in self._turns(seat).items()]
        seat.reserved += sum(claim.limit for claim in claims)
        self._list(seat)
        for need in seat.needs:
            self._stir(need)
        return claims

    def _turns(self, seat: Seat[Key]) -> dict[Crowd, dict[WaitingLine[Key], int]]:
        """Whose turn it is at each free slot, until this worker has its share of those that wait: by crowd and line."""
        given: dict[Crowd, dict[WaitingLine[Key], int]] = {}
        left, shares = seat.free, {}
        contest = []
        for need in seat.needs:
            if need.unserved > 0 and (line := need.first()) is not None:
                shares[need] = -(-need.unserved // len(need.ready))
                contest.append((line.place, need))
        heapify(contest)
        while left and contest:
            place, need = contest[0]
            next_line = need.first()
            if next_line is None or not shares[need]:
                heappop(contest)
            elif next_line.place != place:
                heapreplace(contest, (next_line.place, need))
            else:
                alone = len(contest) == 1 and not need.contested
                count = int(min(left, shares[need], next_line.unserved, next_line.crowd.room)) if alone else 1
                self._promise(next_line, count)
                promises = given.setdefault(next_line.crowd, {})
                promises[next_line] = promises.get(next_line, 0) + count
                left -= count
                shares[need] -= count
        return given

    def _promise(self, line: WaitingLine[Key], count: int) -> None:
        line.crowd.take(count)
        line.run(count)
        line.change(promised=count)

    def _claim(self, seat: Seat[Key], crowd: Crowd, promises: dict[WaitingLine[Key], int]) -> Claim[Key]:
        """Who of the crowd goes first, by priority and age, the queue knows: it may be somebody of another line."""
        lines = {**promises, **{line: 0 for need in seat.needs for line in need.of(crowd) if line not in promises}}
        return Claim(
            seat.key,
            tuple([line.requirement for line in lines]),
            sum(promises.values()),
            tuple(lines.values()),
            tuple([(account.name, account.limit.running or 0) for account in crowd.holding]),
        )

    def settle(self, claim: Claim[Key]) -> None:
        """The claim was answered: the slots set aside are free for the tasks it gave, by `take` or `replace`.

        Say by `unwait` what it took out of the queue before this.
        """
        seat = self._seats.get(claim.key)
        if seat is not None:
            seat.reserved -= claim.limit
            self._list(seat)
        for requirement, promise in zip(claim.requirements, claim.promises, strict=True):
            line = self._lines.of(requirement)
            line.run(-promise)
            line.change(promised=-promise)
            self._invite(line.crowd)
            self._stir(line.need)

    # Limits.

    @property
    def policy(self) -> Policy:
        """What limits there are, and how turns are shared."""
        return self._lines.policy

    def rule(self, policy: Policy) -> None:
        """From now on these limits hold, for all that wait and run."""
        self._lines.rule(policy)
        for seat in self._seats.values():
            if seat.free > 0:
                self._stirred[seat] = None

    @property
    def held(self) -> Mapping[str, int]:
        """By the key that a limit counts by, how many tasks that wait it holds. Keys may have none."""
        return self._lines.held

    def holding(self, requirement: Requirement) -> Account[Key] | None:
        """The account whose limit holds such a task at this moment, if one does."""
        line = self._lines.find(requirement)
        return line.full() if line else None

    def accounts(self, requirement: Requirement) -> tuple[Account[Key], ...]:
        """Where such tasks are counted."""
        return self._lines.of(requirement).accounts

    def counted_together(self, requirement: Requirement) -> tuple[AccountName, ...]:
        """Where runs of such tasks are counted with those that others have of the same queue."""
        holding = self._lines.of(requirement).crowd.holding if self._shared else ()
        return tuple([account.name for account in holding])

    def shut(self, names: Iterable[AccountName]) -> None:
        """Others have used up what these accounts allow: nobody of them is claimed before a run of theirs has ended
        here, or may have ended elsewhere."""
        for name in names:
            account = self._lines.account(name)
            if account is not None:
                account.shut = True
                self._shut[name] = None

    def reopen(self) -> None:
        """Runs may have ended elsewhere."""
        names, self._shut = self._shut, {}
        for account in map(self._lines.account, names):
            if account is not None:
                account.shut = False
                self._let_go(account)

    def _invite(self, crowd: Crowd) -> None:
        for account in crowd.holding:
            self._let_go(account)

    def _let_go(self, account: Account[Key]) -> None:
        for need in account.parking():
            account.invite(need)
            self._stir(need)

    # Inside.

    def _agent(self, name: str) -> _Agent[Key]:
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = _Agent()
        return agent

    def _forget_if_unused(self, name: str, agent: _Agent[Key]) -> None:
        if not agent.seats and not agent.needs:
            del self._agents[name]

    def _open(self, need: Need[Key]) -> None:
        """A need that is new, with those who can serve it."""
        agent = self._agent(need.requirement.agent)
        agent.needs[need] = None
        for seat in agent.seats:
            if seat.fits(need.requirement):
                self._enter(seat, need)
                if seat.listed is not None:
                    need.ready.add(seat, seat.listed)

    def _close(self, need: Need[Key]) -> None:
        for seat in need.seats:
            seat.needs.remove(need)
        agent = self._agents[need.requirement.agent]
        del agent.needs[need]
        self._forget_if_unused(need.requirement.agent, agent)

    def _enter(self, seat: Seat[Key], need: Need[Key]) -> None:
        seat.needs.append(need)
        need.seats[seat] = None

    def _take(self, seat: Seat[Key]) -> None:
        seat.taken += 1
        self.taken += 1
        self._list(seat)

    def _list(self, seat: Seat[Key]) -> None:
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

    def _stir(self, need: Need[Key]) -> None:
        if need.unserved > 0:
            seat = need.ready.first()
            if seat is not None:
                self._stirred[seat] = None
