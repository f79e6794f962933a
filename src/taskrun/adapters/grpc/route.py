"""The way to several control planes that share a store: where a call begins, and whether it goes on at another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskrun.adapters.grpc.address import Address
from taskrun.domain.errors import TaskRunError, Unavailable
from taskrun.domain.rota import Rota

if TYPE_CHECKING:
    from taskrun.adapters.grpc.unreachable import Failure


def system_chance() -> float:
    """A number from 0 to 1, from the system. Loading `random` for it would cost a command line two milliseconds."""
    return int.from_bytes(os.urandom(7), "big") / (1 << 56)


class Route:
    """The addresses, and the one that is good. Threads may share it."""

    def __init__(self, addresses: tuple[Address, ...], chance: Callable[[], float]) -> None:
        """`addresses` are different from each other, at least one. `chance` gives numbers from 0 to 1."""
        self.addresses, self.chance = addresses, chance
        #: Where something was answered last; before that, where chance begins.
        self.here = Rota(addresses, chance).next()

    @property
    def is_several(self) -> bool:
        """Whether there is a choice."""
        return len(self.addresses) > 1

    def trip(self, *, repeatable: bool, timeout: float = 0.0) -> Trip:
        """The way of one call, which has `timeout` seconds in all."""
        return Trip(self, repeatable, timeout)


class Trip:
    """One call's way: one round through the addresses, that of the last answer first."""

    def __init__(self, route: Route, repeatable: bool, timeout: float) -> None:
        self._route, self._repeatable = route, repeatable
        self._rota = Rota(route.addresses, route.chance, route.here)
        self._until = time.monotonic() + timeout
        self._failures: list[Failure] = []
        #: Where to ask now.
        self.address = self._rota.next()
        #: Whether something has come from there.
        self.is_held = False

    @property
    def timeout(self) -> float:
        """Seconds for this attempt: an even share of those left, so that one that is silent leaves time for others."""
        return max(0.0, self._until - time.monotonic()) / (self._rota.left + 1)

    def held(self) -> None:
        """Something came from there: calls begin there from now on, and should it fail, all others are to be tried."""
        if not self.is_held:
            self.is_held = True
            self._route.here = self.address
            self._rota.held()
            self._failures.clear()

    def failed(self, failure: Failure) -> TaskRunError | None:
        """Goes on to the next address and returns None; or returns the call's error.

        A call that may have been done is asked again only if that makes no difference.
        """
        # A call that succeeds can do without all that this needs.
        from taskrun.adapters.grpc.unreachable import Fate, united

        self._failures.append(failure)
        self.is_held = False
        if failure.fate is Fate.REFUSED:
            return failure.error
        if not self._rota.left:
            return united(self._failures)
        if failure.fate is Fate.UNKNOWN and not self._repeatable:
            return Unavailable(f"{united(self._failures).message} It may have been done, so no other was asked.")
        self.address = self._rota.next()
        return None
