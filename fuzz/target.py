"""What is fuzzed: something that takes bytes from somebody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Of a case, unless its target says otherwise.
MAX_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """`take` is given one case after the other, and returns once everything that follows from it has happened.

    Whatever it raises is a fault: to refuse a case is its everyday work, and no exception. Between two cases it keeps
    nothing, so that a case that finds a fault finds it alone.
    """

    take: Callable[[bytes], None]
    #: Real messages, each under a name that says which; what is tried begins with them.
    seeds: Mapping[str, bytes]
    max_bytes: int = MAX_BYTES
