"""Whose streams are open under which certificates, and what ends them: gRPC asks for a certificate once, at the door.

A stream is here from its first moment to its last. It has to go when its certificate expires, or is revoked; before
that its certificate is counted as aged if nobody renews it. All of that is O(log n) in the number of streams.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count

from taskrun.domain.certificates.certificate import Revocation
from taskrun.domain.certificates.life import Life
from taskrun.domain.certificates.revoked import Revoked
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.errors import TaskRunError, Unauthenticated
from taskrun.domain.identity import Identity, Role


class Presence:
    """Decides who may come in and who has to go. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self._revoked = Revoked()
        self._numbers = count(1)
        self._here: dict[int, Identity] = {}
        self._by_serial: defaultdict[str, set[int]] = defaultdict(set)
        self._by_owner: defaultdict[str, set[int]] = defaultdict(set)
        self._ends: Deadlines[int] = Deadlines()
        self._ages: Deadlines[int] = Deadlines()
        self._aged: set[int] = set()

    @property
    def aged(self) -> int:
        """How many workers that are here have a certificate that should long have been renewed."""
        return len(self._aged)

    def fault(self, peer: Identity, now_ms: int) -> TaskRunError | None:
        """Why this peer is not let in; None if it is."""
        if peer.not_after_ms <= now_ms:
            return expired()
        return revoked() if self._revoked.covers(peer) else None

    def enter(self, peer: Identity) -> int:
        """A stream of this peer is open, under the number that is returned."""
        number = next(self._numbers)
        self._here[number] = peer
        self._by_serial[peer.serial].add(number)
        self._by_owner[peer.owner].add(number)
        self._ends.arm(number, peer.not_after_ms)
        if peer.role is Role.WORKER:
            # A client's is renewed by a person.
            self._ages.arm(number, Life(peer.issued_at_ms, peer.not_after_ms).aged_at_ms)
        return number

    def leave(self, number: int) -> None:
        """The stream is over; doing it twice is harmless."""
        peer = self._here.pop(number, None)
        if peer is None:
            return
        for table, key in ((self._by_serial, peer.serial), (self._by_owner, peer.owner)):
            table[key].discard(number)
            if not table[key]:
                del table[key]
        self._ends.disarm(number)
        self._ages.disarm(number)
        self._aged.discard(number)

    def revoke(self, revocation: Revocation) -> list[tuple[int, Identity]]:
        """From now on it counts. Returns the streams that have to go for it."""
        self._revoked.learn(revocation)
        table, key = (self._by_serial, revocation.serial) if revocation.serial else (self._by_owner, revocation.owner)
        return [
            (number, self._here[number])
            for number in sorted(table.get(key, ()))
            if revocation.covers(self._here[number])
        ]

    def ended(self, now_ms: int) -> list[int]:
        """The streams whose certificates have expired, each once."""
        return list(iter(lambda: self._ends.pop(now_ms), None))

    def grown_old(self, now_ms: int) -> list[Identity]:
        """The peers whose certificates should have been renewed by now, each once."""
        numbers = list(iter(lambda: self._ages.pop(now_ms), None))
        self._aged.update(numbers)
        return [self._here[number] for number in numbers]

    def next_ms(self) -> float | None:
        """When the next of these falls due."""
        return min((at for each in (self._ends, self._ages) if (at := each.next()) is not None), default=None)


def expired() -> Unauthenticated:
    """The certificate's time is over."""
    return Unauthenticated("The client certificate has expired.")


def revoked() -> Unauthenticated:
    """The certificate is worth nothing."""
    return Unauthenticated("The client certificate was revoked.")
