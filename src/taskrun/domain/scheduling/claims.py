"""What the queue is asked for: the turns at one worker's free slots, as claims."""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import Generic

from taskrun.domain.quotas import AccountName
from taskrun.domain.records import Requirement
from taskrun.domain.scheduling.keys import Key
from taskrun.domain.scheduling.needs import WaitingLine
from taskrun.domain.scheduling.seats import Seat
from taskrun.domain.scheduling.turns import Crowd
from taskrun.domain.values import value


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


def claims_for(seat: Seat[Key]) -> list[Claim[Key]]:
    """One for each crowd that has turns at its free slots."""
    return [_claim(seat, crowd, promises) for crowd, promises in _turns(seat).items()]


def _turns(seat: Seat[Key]) -> dict[Crowd, dict[WaitingLine[Key], int]]:
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
            _promise(next_line, count)
            promises = given.setdefault(next_line.crowd, {})
            promises[next_line] = promises.get(next_line, 0) + count
            left -= count
            shares[need] -= count
    return given


def _promise(line: WaitingLine[Key], count: int) -> None:
    line.crowd.take(count)
    line.run(count)
    line.change(promised=count)


def _claim(seat: Seat[Key], crowd: Crowd, promises: dict[WaitingLine[Key], int]) -> Claim[Key]:
    """Who of the crowd goes first, by priority and age, the queue knows: it may be somebody of another line."""
    lines = {**promises, **{line: 0 for need in seat.needs for line in need.of(crowd) if line not in promises}}
    return Claim(
        seat.key,
        tuple([line.requirement for line in lines]),
        sum(promises.values()),
        tuple(lines.values()),
        tuple([(account.name, account.limit.running or 0) for account in crowd.holding]),
    )
