"""Natural batching of creates: what comes while one call is under way goes out together in the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from taskrun.adapters.grpc.calls import create_groups
from taskrun.domain.errors import TaskRunError, Unavailable
from taskrun.domain.records import Task

CreateMany = Callable[[list[bytes]], Awaitable[list[Task | TaskRunError]]]


class Coalescer:
    """Has at most one call under way. An idle one sends at once; no timer holds anything back."""

    def __init__(self, create_many: CreateMany) -> None:
        self._create_many = create_many
        self._waiting: list[tuple[bytes, asyncio.Future[Task]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def create(self, spec: bytes) -> Task:
        """Creates the task with others that come at the same time. Raises what it is refused for."""
        if self._closed:
            raise Unavailable("The client is closed.")
        future: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
        self._waiting.append((spec, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await future

    async def close(self) -> None:
        """Gives up what is under way; doing it twice is harmless."""
        self._closed = True
        if self._sender is not None:
            self._sender.cancel()
            with suppress(asyncio.CancelledError):
                await self._sender

    async def _send(self) -> None:
        batch: list[tuple[bytes, asyncio.Future[Task]]] = []
        try:
            while self._waiting:
                size = len(next(create_groups([spec for spec, _ in self._waiting])))
                batch, self._waiting = self._waiting[:size], self._waiting[size:]
                await self._settle(batch)
        finally:
            self._sender = None
            left, self._waiting = (*batch, *self._waiting), []
            for _, future in left:
                _refuse(future, Unavailable("The client was closed."))

    async def _settle(self, batch: list[tuple[bytes, asyncio.Future[Task]]]) -> None:
        try:
            answers = await self._create_many([spec for spec, _ in batch])
        except TaskRunError as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, TaskRunError):
                _refuse(future, answer)
            elif not future.done():
                future.set_result(answer)


def _refuse(future: asyncio.Future[Task], error: TaskRunError) -> None:
    if not future.done():
        future.set_exception(error)
