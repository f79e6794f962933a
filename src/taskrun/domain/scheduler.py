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
from typing import Generic

from taskrun.domain.quotas import FREE, AccountName, Policy
from taskrun.domain.records import Labels, Requirement
from taskrun.domain.scheduling.accounts import Account
from taskrun.domain.scheduling.claims import Claim, claims_for
from taskrun.domain.scheduling.keys import Key
from taskrun.domain.scheduling.lines import Lines
from taskrun.domain.scheduling.seating import Seating
from taskrun.domain.scheduling.turns import Crowd

__all__ = ["Claim", "Scheduler"]


class Scheduler(Generic[Key]):
    """Workers are known by any hashable key of the caller's."""

    def __init__(self, policy: Policy = FREE, *, shared: bool = False) -> None:
        """`shared`: others give out tasks of the same queue. What is limited is then claimed, or placed as new."""
        self._seats: Seating[Key] = Seating()
        self._lines: Lines[Key] = Lines(policy, self._seats.open, self._seats.close)
        self._shared = shared
        #: Accounts that were shut, and not opened again by all of them together.
        self._shut: dict[AccountName, None] = {}
        #: Who began to wait since the queue was last asked for claims.
        self._came = Counter[Requirement]()

    # Workers.

    def join(self, key: Key, agents: Iterable[str], labels: Labels, slots: int, taken: int = 0) -> None:
        """A worker with `slots` slots, of which it brings `taken` along as taken. `key` must not be known."""
        self._seats.join(key, agents, labels, slots, taken)

    def leave(self, key: Key) -> None:
        """The worker is gone, with all its slots; harmless if it is not known."""
        self._seats.leave(key)

    def resize(self, key: Key, slots: int) -> None:
        """The worker now has this many slots in all. Fewer than are taken only means that none is free."""
        seat = self._seats[key]
        seat.slots = slots
        self._seats.list(seat)

    def offer(self, key: Key, *, open: bool) -> None:
        """Whether the worker is to be given anything at all."""
        seat = self._seats[key]
        seat.open = open
        self._seats.list(seat)

    # Slots.

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._seats.taken

    @property
    def vacant(self) -> int:
        """How many a task could get: none of a worker that is not offered any."""
        return self._seats.vacant

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
        self._seats.take(seat)
        return seat.key

    def replace(self, requirement: Requirement) -> Key | None:
        """Like `place`, for a task that has waited already, was let through, and goes before those that wait."""
        seat = self._lines.of(requirement).need.ready.first()
        if seat is None:
            return None
        self._seats.take(seat)
        return seat.key

    def take(self, key: Key, requirement: Requirement) -> bool:
        """Takes a slot of this worker, if it is known, fits and has a free one."""
        seat = self._seats.find(key)
        if seat is None or seat.free <= 0 or not seat.fits(requirement):
            return False
        self._seats.take(seat)
        return True

    def release(self, key: Key) -> None:
        """Gives a slot back; harmless if the worker is gone."""
        seat = self._seats.find(key)
        if seat is not None:
            self._seats.take(seat, -1)

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
        self._seats.stir(line.need)

    def unwait(self, requirement: Requirement, count: int = 1) -> None:
        """So many wait no longer."""
        line = self._lines.of(requirement)
        line.change(waiting=-count)
        if line.crowd.holding:
            # What it does not use of their room may be another's.
            self._seats.stir(line.need)

    def dry(self, requirement: Requirement) -> None:
        """The queue had nobody more for this: others have taken them. Only those wait that came since it was asked."""
        line = self._lines.of(requirement)
        self.unwait(requirement, max(0, line.waiting - self._came[requirement]))

    def recount(self, waiting: Mapping[Requirement, int]) -> None:
        """At least so many wait, as the queue says: others put tasks in too. What they take out shows when dry."""
        for requirement, count in waiting.items():
            line = self._lines.of(requirement)
            line.change(waiting=max(0, count - line.waiting))
            self._seats.stir(line.need)

    def waiting(self, requirement: Requirement) -> int:
        """How many wait for this."""
        line = self._lines.find(requirement)
        return line.waiting if line else 0

    def serving(self, requirement: Requirement) -> tuple[int, int]:
        """How many workers offer the agent, and how many of these have the labels too: with a free slot or without."""
        need = self._lines.of(requirement).need
        return self._seats.offering(requirement.agent), len(need.seats)

    def claims(self) -> Iterator[Claim[Key]]:
        """What to ask the queue for now: every free slot that somebody waits for is set aside by one of these.

        Workers that are free for the same get equal shares of it, the least loaded first.
        """
        self._came.clear()
        for seat in self._seats.wanted():
            claims = claims_for(seat)
            seat.reserved += sum(claim.limit for claim in claims)
            self._seats.list(seat)
            for need in seat.needs:
                self._seats.stir(need)
            yield from claims

    def settle(self, claim: Claim[Key]) -> None:
        """The claim was answered: the slots set aside are free for the tasks it gave, by `take` or `replace`.

        Say by `unwait` what it took out of the queue before this.
        """
        seat = self._seats.find(claim.key)
        if seat is not None:
            seat.reserved -= claim.limit
            self._seats.list(seat)
        for requirement, promise in zip(claim.requirements, claim.promises, strict=True):
            line = self._lines.of(requirement)
            line.run(-promise)
            line.change(promised=-promise)
            self._invite(line.crowd)
            self._seats.stir(line.need)

    # Limits.

    @property
    def policy(self) -> Policy:
        """What limits there are, and how turns are shared."""
        return self._lines.policy

    def rule(self, policy: Policy) -> None:
        """From now on these limits hold, for all that wait and run."""
        self._lines.rule(policy)
        self._seats.stir_all()

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
            self._seats.stir(need)
