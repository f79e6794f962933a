"""Slows down whoever keeps failing, without holding up anybody else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

#: Addresses that are remembered; the one that failed longest ago is forgotten first.
MAX_ADDRESSES = 4096
#: Seconds that the common bucket is in debt at most. However many have guessed, one that has failed once and comes
#: again waits no longer than that for the others.
MAX_COMMON_DEBT = 60.0


class Throttle:
    """Counts failed attempts by address and in all, each in a bucket that refills with time. Successes cost nothing.

    An address waits while its own bucket is empty. While the common one is empty, every address waits that has failed
    of late. One that has not may try, so that strangers who guess cannot keep an honest caller out; if it fails, it is
    told to wait like the others, and so learns no more from one address each than from one for all.

    `mono` gives seconds on a clock that never goes back. Each call is O(1).
    """

    def __init__(
        self,
        mono: Callable[[], float],
        *,
        per_minute: float = 10,
        burst: int = 20,
        overall_per_minute: float = 60,
        overall_burst: int = 50,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self._mono = mono
        self._every, self._leeway = 60 / per_minute, 60 / per_minute * (burst - 1)
        self._overall_every, self._overall_leeway = (
            60 / overall_per_minute,
            60 / overall_per_minute * (overall_burst - 1),
        )
        self._max_addresses = max_addresses
        #: When each bucket is full again, the address that failed last at the end. A time gone by is a full bucket.
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._overall_full_at = 0.0

    def wait(self, address: str) -> float:
        """Seconds until this address may try; 0 if now."""
        now, key = self._mono(), _neighbourhood(address)
        return self._wait(key, now) if self._full_at.get(key, now) > now else 0.0

    def failed(self, address: str) -> float:
        """This address tried and failed. Returns the seconds that it had to wait, had it been known that it would: as
        long as that is 0 it may be told that it failed, and else only when to come again."""
        now, key = self._mono(), _neighbourhood(address)
        wait = self._wait(key, now)
        self._full_at[key] = max(now, self._full_at.get(key, now)) + self._every
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_addresses:
            self._full_at.popitem(last=False)
        most = now + self._overall_leeway + MAX_COMMON_DEBT
        self._overall_full_at = min(most, max(now, self._overall_full_at) + self._overall_every)
        return wait

    def _wait(self, key: str, now: float) -> float:
        own = self._full_at.get(key, now) - now - self._leeway
        return max(0.0, own, self._overall_full_at - now - self._overall_leeway)


def _neighbourhood(address: str) -> str:
    """An IPv6 address stands for its /64: whoever has one address there has them all."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or parsed.packed[:8].hex())
