"""One owner for the signals that end a process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, repeat
from types import FrameType

ENDS = (signal.SIGTERM, signal.SIGINT)


def on_stop(*steps: Callable[[], None]) -> None:
    """The first SIGTERM or SIGINT does the first step, the next one the second; the last step is done over again.

    Call it inside the loop. It holds until `ignore_stops`.
    """
    loop = asyncio.get_running_loop()
    following = chain(steps, repeat(steps[-1]))

    def handle(number: int, frame: FrameType | None) -> None:
        # A loop that is closed has nothing left to stop.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(next(following))

    # Not the loop's own handlers: when the loop ends, those leave the process to be killed by the next signal.
    for end in ENDS:
        signal.signal(end, handle)


def ignore_stops() -> None:
    """The process is as good as ended: a signal that comes late must not turn a clean end into a death."""
    for end in ENDS:
        signal.signal(end, signal.SIG_IGN)
