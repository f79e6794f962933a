"""A moment: the core is told the time, it never asks."""

from __future__ import annotations

from typing import NamedTuple


class Now(NamedTuple):
    """One moment on both clocks."""

    #: Seconds on a clock that never jumps; for deadlines. Only differences mean anything.
    mono: float
    #: Unix milliseconds, UTC; for records. May jump.
    utc_ms: int
