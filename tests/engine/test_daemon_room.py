from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskrun.domain.daemon.outbox import CAPACITY, Outbox
from taskrun.engine.daemon_room import Room


class Queue:
    """People who wait for room in a full outbox."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.room = Room(self.outbox)
        self.served: list[str] = []
        self.fill()

    def fill(self) -> None:
        self.outbox.lane("r").text("x" * CAPACITY)

    async def join(self, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._wait(name)) for name in names]
        await asyncio.sleep(0)
        return tasks

    async def serve(self) -> None:
        """The outbox is emptied, and whoever finds room goes."""
        self.outbox.take()
        self.room.open()
        for _ in range(10):
            await asyncio.sleep(0)

    async def _wait(self, name: str) -> None:
        await self.room.wait()
        self.served.append(name)


@pytest.fixture
async def queue() -> AsyncIterator[Queue]:
    queue = Queue()
    yield queue
    await queue.serve()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_waits_is_served_in_the_order_of_arrival(queue: Queue) -> None:
    await queue.join("a", "b", "c")
    assert queue.served == []
    await queue.serve()
    assert queue.served == ["a", "b", "c"]


async def test_who_finds_the_room_taken_keeps_the_place_at_the_head(queue: Queue) -> None:
    await queue.join("a", "b")
    queue.outbox.take()
    queue.room.open()
    # Somebody who never waited is faster.
    queue.fill()
    await asyncio.sleep(0)
    assert queue.served == []
    await queue.join("c")
    await queue.serve()
    assert queue.served == ["a", "b", "c"]


async def test_who_gives_up_leaves_the_row(queue: Queue) -> None:
    first, *_ = await queue.join("a", "b")
    first.cancel()
    await queue.serve()
    assert queue.served == ["b"]


async def test_the_turn_of_one_who_gives_up_as_it_comes_passes_on(queue: Queue) -> None:
    first, *_ = await queue.join("a", "b")
    queue.outbox.take()
    queue.room.open()
    first.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert queue.served == ["b"]


async def test_nobody_is_let_in_while_it_is_full(queue: Queue) -> None:
    await queue.join("a")
    queue.room.open()
    await asyncio.sleep(0)
    assert queue.served == []
