"""The last resort: a supervisor that was killed cannot clean up, so the worker does it by what the processes carry."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

_SECONDS_BETWEEN_LOOKS = 0.01


async def sweep(run_id: str) -> None:
    """Kills every process that was started with this run's id in its environment; returns when there is none."""
    while pids := _pids_of(f"TASKRUN_RUN_ID={run_id}".encode()):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


def _pids_of(variable: bytes) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            # A process that has ended, and only waits for its parent to notice, has no environment any more.
            environ = Path("/proc", name, "environ").read_bytes()
        except OSError:
            continue
        if variable in environ.split(b"\0"):
            found.append(int(name))
    return found
