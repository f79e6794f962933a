"""Slows down whoever keeps failing, without holding up anybody else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

#: Addresses that are remembered; the one that failed longest ago is forgotten first.
MAX_ADDRESSES = 4096


class Throttle:
    """Counts failed attempts by address and in all, each in a bucket that refills with time. Successes cost nothing.

    An address waits while its own bucket is empty. While the common one is empty, every address waits that has failed
    of late; one that has not is let in, so that strangers who guess cannot keep an honest worker out.

    `mono` gives seconds on a clock that never goes back. Each call is O(1).
    """

    def __init__(
        self,
        mono: Callable[[], float],
        *,
        per_minute: float = 10,
        burst: int = 20,
        overall_per_minute: float = 100,
        overall_burst: int = 100,
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
        now = self._mono()
        full_at = self._full_at.get(_neighbourhood(address), now)
        if full_at <= now:
            return 0.0
        return max(0.0, full_at - now - self._leeway, self._overall_full_at - now - self._overall_leeway)

    def failed(self, address: str) -> None:
        """This address tried and failed."""
        now, key = self._mono(), _neighbourhood(address)
        self._full_at[key] = max(now, self._full_at.get(key, now)) + self._every
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_addresses:
            self._full_at.popitem(last=False)
        self._overall_full_at = max(now, self._overall_full_at) + self._overall_every


def _neighbourhood(address: str) -> str:
    """An IPv6 address stands for its /64: whoever has one address there has them all."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or parsed.packed[:8].hex())
