"""One owner for the signals that a process hears."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import rich_click as click

ENDS = (signal.SIGTERM, signal.SIGINT)

#: Of a coroutine, a generator and an asynchronous one: where it stands, and what it waits for itself.
_KINDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def on_stop(*steps: Callable[[], None]) -> None:
    """The first SIGTERM or SIGINT does the first step, the next one the second; the last step is done over again.

    SIGUSR1 shows on standard error what each task waits for. Call it inside the loop. It holds until `ignore_stops`.
    """
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _show_tasks)
    following = chain(steps, repeat(steps[-1]))
    for end in ENDS:
        asyncio.get_running_loop().add_signal_handler(end, lambda: next(following)())


def on_hangup(step: Callable[[], None]) -> None:
    """Each SIGHUP does the step. Call it inside the loop."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, step)


def ignore_stops() -> None:
    """The process is as good as ended: a signal that comes late must not turn a clean end into a death.

    Call it inside the loop, which would set the signals to kill when it closes.
    """
    for end in (*ENDS, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(end)
        signal.signal(end, signal.SIG_IGN)


def _show_tasks() -> None:
    for task in asyncio.all_tasks():
        click.echo("\n  ".join((task.get_name(), *_waits_in(task.get_coro()))), err=True)


def _waits_in(waiting: Any) -> Iterator[str]:
    """The places in which a task waits, the outermost first.

    `Task.print_stack` shows only the first, and fails at compiled code such as gRPC's, which has no source.
    """
    while waiting is not None:
        kind = next((kind for kind in _KINDS if hasattr(waiting, kind[0])), None)
        frame, waiting = (getattr(waiting, part) for part in kind) if kind else (None, None)
        if frame is not None:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
