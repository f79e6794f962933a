"""What callers await while the core decides."""

from __future__ import annotations

import asyncio

from taskrun.domain.errors import TaskRunError


class Replies:
    """The answers to `count` requests made together: awaited once, when all of them are there."""

    __slots__ = ("_future", "_left", "_values")

    def __init__(self, count: int) -> None:
        self._values: list[object] = [None] * count
        self._left = count
        self._future: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()

    def slot(self, index: int) -> Slot:
        """Where the answer to one of the requests goes."""
        return Slot(self, index)

    def put(self, index: int, value: object) -> None:
        """Answers one request."""
        self._values[index] = value
        self._left -= 1
        if not self._left and not self._future.done():
            self._future.set_result(self._values)

    async def all(self) -> list[object]:
        """The answers, in the order of the requests; a refusal is a `TaskRunError` among them."""
        return await self._future


class Slot:
    """One request that waits for its answer."""

    __slots__ = ("_index", "_replies")

    def __init__(self, replies: Replies, index: int) -> None:
        self._replies, self._index = replies, index

    def put(self, value: object) -> None:
        """Answers it."""
        self._replies.put(self._index, value)


def accepted(value: object) -> object:
    """The answer, unless it is a refusal: that is raised."""
    if isinstance(value, TaskRunError):
        raise value
    return value
