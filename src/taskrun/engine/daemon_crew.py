"""The one place where the daemon's asyncio tasks are born."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Crew:
    """Keeps every task until it is done, so that none is forgotten and none outlives the daemon."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(
        self, work: Coroutine[Any, Any, Result], on_end: Callable[[asyncio.Task[Result]], None]
    ) -> asyncio.Task[Result]:
        """Starts a task. `on_end` is called once, when it is done, also if it was cancelled before its first step."""
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def ended(task: asyncio.Task[Result]) -> None:
            self._tasks.discard(task)
            on_end(task)

        task.add_done_callback(ended)
        return task

    async def dismiss(self) -> None:
        """Cancels everything and returns when nothing is left, also of what was started meanwhile."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
