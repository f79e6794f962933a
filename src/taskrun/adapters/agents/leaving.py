"""How a function in the worker's own process is left when its run is cancelled: nothing can end it but itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from loguru import logger

T = TypeVar("T")

#: Functions that go on although their runs are over. The loop by itself would forget them.
_abandoned: set[asyncio.Task[Any]] = set()


async def left_in_time(work: Coroutine[Any, Any, T], grace: float) -> T:
    """What the work comes to. A cancellation cancels the work, and is over when that is, or `grace` seconds later:
    then the work is left to itself, as an error in the log. Work that is cancelled and comes to something all the same
    has come to that."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        try:
            await asyncio.wait([task], timeout=grace)
        finally:
            if not task.done():
                _abandon(task, grace)
        if not task.done() or task.cancelled():
            raise
        return task.result()


def _abandon(task: asyncio.Task[Any], grace: float) -> None:
    logger.error(
        "an agent's function goes on although it was cancelled {:g} s ago: its run is over, and what it does now "
        "nobody sees or stops; restart this worker to be rid of it",
        grace,
    )
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    # Looked at, or the loop would complain of an exception that nobody took.
    failed = not task.cancelled() and task.exception() is not None
    logger.warning("an agent's function that was given up has ended{}", ", with an exception" if failed else "")
