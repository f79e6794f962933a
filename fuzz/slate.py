"""What a process leaves of itself, however it dies."""

from __future__ import annotations

import mmap
import struct

#: The number of cases that were begun, the growth in KiB, and the length of the case at hand.
_HEAD = struct.Struct("<QQQ")


class Slate:
    """Memory that a process shares with those it forks: the case at hand is on it, and how far the work has come."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` is the longest case."""
        self._memory = mmap.mmap(-1, _HEAD.size + max_bytes)

    def write(self, cases: int, growth_kib: int, case: bytes) -> None:
        """Replaces what was on it."""
        _HEAD.pack_into(self._memory, 0, cases, growth_kib, len(case))
        self._memory[_HEAD.size : _HEAD.size + len(case)] = case

    @property
    def cases(self) -> int:
        """How many were begun."""
        return self._head()[0]

    @property
    def growth_kib(self) -> int:
        """How much memory they have taken at most, beyond what the process had before."""
        return self._head()[1]

    @property
    def case(self) -> bytes:
        """The one that was begun last."""
        return self._memory[_HEAD.size : _HEAD.size + self._head()[2]]

    def _head(self) -> tuple[int, int, int]:
        cases, growth_kib, length = _HEAD.unpack_from(self._memory)
        return cases, growth_kib, length
