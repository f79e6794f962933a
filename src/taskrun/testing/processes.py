"""A look at this machine's processes, for whoever asks what a run has left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

_SECONDS_BETWEEN_LOOKS = 0.02


def processes_of(run_id: str) -> dict[int, str]:
    """The command lines, by pid, of all processes that have this run's id in their environment, whatever the variable:
    who wants to get away drops the one that is ours."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            # Of a process that has ended, and only waits for its parent to notice, both are empty.
            environ = Path("/proc", name, "environ").read_bytes()
            command = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if run_id.encode() in [variable.partition(b"=")[2] for variable in environ.split(b"\0")]:
            found[int(name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


async def until_there_are(run_id: str, beginning: str, number: int) -> None:
    """Returns once so many of the run's command lines have this beginning: nothing but a look tells that."""
    while sum(line.startswith(beginning) for line in processes_of(run_id).values()) < number:  # noqa: ASYNC110
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


async def until_there_is_nothing(run_id: str) -> None:
    """Returns once no process of the run is left."""
    while processes_of(run_id):  # noqa: ASYNC110
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


def kill_all_of(run_id: str) -> list[str]:
    """Kills what is left of the run, so that one test's failure is not the next one's; returns the command lines."""
    left = processes_of(run_id)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return list(left.values())
