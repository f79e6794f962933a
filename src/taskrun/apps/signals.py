"""One owner for the signals that end a process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from itertools import chain, repeat

ENDS = (signal.SIGTERM, signal.SIGINT)


def on_stop(*steps: Callable[[], None]) -> None:
    """The first SIGTERM or SIGINT does the first step, the next one the second; the last step is done over again.

    Call it inside the loop whose process this is.
    """
    following = chain(steps, repeat(steps[-1]))
    for end in ENDS:
        asyncio.get_running_loop().add_signal_handler(end, lambda: next(following)())
