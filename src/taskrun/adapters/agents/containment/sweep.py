"""The last resort: a supervisor that was killed cannot clean up, so the worker does it.

The worker is a child subreaper: what loses its parent, and has no supervisor, becomes the worker's child. There are the
supervisors of other runs, too, and what Python functions here have started; unlike those it bears the mark that
a run's first process was given, and cannot put it off. A run under a living supervisor stays below that.

No look misses anything: what is left is a marked child of the worker, dead or alive, or is below one; and a dead child
stays until it is reaped, which is here and after the look. By then its own children are the worker's.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
from pathlib import Path

from taskrun.adapters.agents.containment.supervisor import children_of_all, with_descendants

_SECONDS_BETWEEN_LOOKS = 0.01

#: The hard limit that is a run's mark, as /proc/PID/limits calls it.
_LIMIT = "Max realtime timeout"


async def sweep() -> None:
    """Kills every process of every run whose supervisor is gone; returns when there is none.

    For a process that became a subreaper, by `adopt`, before it started the first supervisor.
    """
    while left := _left():
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in left:
            _reap(pid)
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


def is_stopped(pid: int) -> bool:
    """Whether a child of this process has been stopped, and can do nothing until it is continued or killed."""
    try:
        # "pid (name) state ..."; the name may hold anything.
        return Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"
    except OSError:
        return False  # it has ended


def _left() -> list[int]:
    children = children_of_all()
    ours = _limit_of(os.getpid())
    return with_descendants([pid for pid in children.get(os.getpid(), ()) if _limit_of(pid) < ours], children)


def _limit_of(pid: int) -> float:
    """Microseconds. Infinity for what somebody else has reaped by now: that was not ours."""
    try:
        lines = Path("/proc", str(pid), "limits").read_text().splitlines()
    except OSError:
        lines = []
    for line in filter(lambda line: line.startswith(_LIMIT), lines):
        _soft, hard, _unit = line.removeprefix(_LIMIT).split()
        return math.inf if hard == "unlimited" else int(hard)
    return math.inf


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # it is no child of ours yet
