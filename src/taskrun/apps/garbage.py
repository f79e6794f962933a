"""Python's garbage collector, set for programs that keep many small values for long."""

from __future__ import annotations

import gc

#: Allocations between two collections of the youngest. Values of the domain hold no cycles: reference counting frees
#: them, and looking through them more often only costs. With the default of 700 a task costs a third more, and the more
#: tasks are stored the more.
YOUNGEST = 50_000
OLDER = 20
#: Collections of everything that is kept are what a caller would notice as a pause.
OLDEST = 100


def collect_rarely() -> None:
    """Leaves what the program's start has made out of every later collection, and makes those rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, OLDER, OLDEST)
