"""Ids that sort in the order in which they were made: UUIDv7, RFC 9562 section 5.7.

    48 bits Unix ms | 4 bits version 7 | 12 bits counter, high | 2 bits variant | 30 bits counter, low | 32 bits random

The counter (section 6.2, method 1) starts at a random number each millisecond and goes up by one with each id. While
the clock stands still or steps back the ids count on from the last one; a counter that is used up borrows the next ms.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_COUNTER_END = 1 << 42
#: The counter starts below half, so that each millisecond has room for 2 ** 41 ids.
_SEED_END = 1 << 41
_LOW_BITS = 30
_LOW_MASK = (1 << _LOW_BITS) - 1
_VARIANT = 0b10 << 62

#: Random bytes are fetched this many at a time: a call to the system costs as much as an id.
_BLOCK = 4096


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000


class UuidV7Source:
    """Implements `IdSource`. Ids are unique across sources by chance (73 random bits a ms), within one by counting."""

    def __init__(self, utc_ms: Callable[[], int] = _utc_ms, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._utc_ms, self._random_bytes = utc_ms, random_bytes
        self._ms = -1
        self._counter = 0
        self._prefix = ""
        self._block = b""
        self._used = 0

    def __call__(self) -> str:
        """See `IdSource.__call__`."""
        ms = self._utc_ms()
        self._counter += 1
        if ms > self._ms:
            self._begin(ms)
        elif self._counter >= _COUNTER_END:
            self._begin(self._ms + 1)
        counter = self._counter
        tail = f"{_VARIANT | (counter & _LOW_MASK) << 32 | self._random(4):x}"
        return f"{self._prefix}{counter >> _LOW_BITS:03x}-{tail[:4]}-{tail[4:]}"

    def _begin(self, ms: int) -> None:
        self._ms = ms
        self._counter = self._random(8) % _SEED_END
        high = f"{ms:012x}"
        self._prefix = f"{high[:8]}-{high[8:]}-7"

    def _random(self, size: int) -> int:
        start, self._used = self._used, self._used + size
        if self._used > len(self._block):
            self._block = self._random_bytes(_BLOCK)
            start, self._used = 0, size
        return int.from_bytes(self._block[start : self._used], "big")
