"""One owner for the signals that a process hears."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from itertools import chain, repeat

ENDS = (signal.SIGTERM, signal.SIGINT)


def on_stop(*steps: Callable[[], None]) -> None:
    """The first SIGTERM or SIGINT does the first step, the next one the second; the last step is done over again.

    SIGUSR1 shows on standard error what each task waits for. Call it inside the loop. It holds until `ignore_stops`.
    """
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _show_tasks)
    following = chain(steps, repeat(steps[-1]))
    for end in ENDS:
        asyncio.get_running_loop().add_signal_handler(end, lambda: next(following)())


def ignore_stops() -> None:
    """The process is as good as ended: a signal that comes late must not turn a clean end into a death.

    Call it inside the loop, which would set the signals to kill when it closes.
    """
    for end in ENDS:
        asyncio.get_running_loop().remove_signal_handler(end)
        signal.signal(end, signal.SIG_IGN)


def _show_tasks() -> None:
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
