"""What waits for the core's next turn, bounded in number and in bytes."""

from __future__ import annotations

import asyncio
from collections import deque

from taskrun.domain.control_plane.inputs import CreateTask, Input, WorkerSpoke

#: Inputs handled in one turn, and their bytes. A turn is one commit, so this bounds what a failed one takes with it.
MAX_TURN = 1000
MAX_TURN_BYTES = 16 * 1024 * 1024
#: What may wait before worker streams are no longer read and callers are turned away.
MAX_INBOX = 10_000
MAX_INBOX_BYTES = 64 * 1024 * 1024


class Inbox:
    """First in, first out. Nothing is dropped: who puts things in looks at `full` first, or waits for room after."""

    def __init__(self) -> None:
        self._items: deque[Input] = deque()
        self._bytes = 0
        #: What there is to do: of what a worker says, each message counts.
        self.load = 0
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether the core is far behind."""
        return len(self._items) >= MAX_INBOX or self._bytes >= MAX_INBOX_BYTES

    def put(self, item: Input) -> None:
        """Adds it and wakes who waits for something."""
        self._items.append(item)
        self._bytes += _bytes(item)
        self.load += _load(item)
        self._something.set()

    def take(self) -> list[Input]:
        """As much as one turn handles, oldest first."""
        taken: list[Input] = []
        size = 0
        while self._items and len(taken) < MAX_TURN and size < MAX_TURN_BYTES:
            item = self._items.popleft()
            size += _bytes(item)
            self.load -= _load(item)
            taken.append(item)
        self._bytes -= size
        if not self.full:
            self._room.set()
        return taken

    def clear(self) -> None:
        """Forgets everything, and lets everybody go on."""
        self._items.clear()
        self._bytes = self.load = 0
        self._room.set()

    def wake(self) -> None:
        """As if something had come."""
        self._something.set()

    async def something(self) -> None:
        """Returns once something came, or `wake` was called, since the last time this returned."""
        await self._something.wait()
        self._something.clear()

    async def room(self) -> None:
        """Returns at once, or as soon as the core has caught up."""
        if self.full:
            self._room.clear()
            await self._room.wait()


def _load(item: Input) -> int:
    return len(item.messages) if isinstance(item, WorkerSpoke) else 1


def _bytes(item: Input) -> int:
    if isinstance(item, WorkerSpoke):
        return item.size
    return len(item.spec.input_json) if isinstance(item, CreateTask) else 0
