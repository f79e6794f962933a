"""Targets that are coroutines: one loop for all cases, and nothing that goes wrong in it goes unnoticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

from loguru import logger

#: What was logged as an error since the case began, and what no one awaited.
_FAULTS: list[str] = []


def in_the_loop(take: Callable[[bytes], Coroutine[Any, Any, None]]) -> Callable[[bytes], None]:
    """The coroutine as what a `Target` takes. An error that is logged is a fault, too, and so is a task left over."""

    def taken(case: bytes) -> None:
        _FAULTS.clear()
        _runner().run(_alone(take, case))
        assert not _FAULTS, "\n".join(_FAULTS)

    return taken


async def _alone(take: Callable[[bytes], Coroutine[Any, Any, None]], case: bytes) -> None:
    await take(case)
    await breathe()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks are left: {left}"


# Made when the first case comes: a loop does not survive a fork.
@cache
def _runner() -> asyncio.Runner:
    logger.remove()
    logger.add(lambda message: _FAULTS.append(str(message)), level="ERROR")
    runner = asyncio.Runner()
    runner.get_loop().set_exception_handler(lambda loop, context: _FAULTS.append(str(context)))
    return runner


async def breathe(turns: int = 30) -> None:
    """Lets the others go on."""
    for _ in range(turns):
        await asyncio.sleep(0)
