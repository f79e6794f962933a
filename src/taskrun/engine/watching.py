"""Following tasks: a watcher is a cursor into the stored story and a bell, never a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from taskrun.domain.errors import NotFound, Unavailable
from taskrun.domain.records import StoryEntry
from taskrun.ports.store import Store


class Watchers:
    """Reads stories from the store and waits for more. A slow reader costs its bell and nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bells: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    def ring(self, task_ids: Iterable[str]) -> None:
        """These tasks have new entries in their stories."""
        if self._bells:
            for task_id in task_ids:
                for bell in self._bells.get(task_id, ()):
                    bell.set()

    def ring_all(self) -> None:
        """Any task may have new entries that no turn has told of."""
        self.ring(tuple(self._bells))

    def close(self) -> None:
        """Ends every watch with `Unavailable`."""
        self._closed = True
        self.ring_all()

    async def watch(self, task_id: str, from_seq: int) -> AsyncIterator[Sequence[StoryEntry]]:
        """See `TaskApi.watch`."""
        bell = asyncio.Event()
        bells = self._bells.setdefault(task_id, set())
        bells.add(bell)
        try:
            await self._must_exist(task_id)
            seq = from_seq
            while True:
                bell.clear()
                entries = await self._store.story(task_id, seq)
                if entries:
                    yield entries
                    seq = entries[-1].next_seq
                    if entries[-1].is_end:
                        return
                elif await self._is_over(task_id, seq):
                    return
                else:
                    await self._wait(bell)
        finally:
            bells.discard(bell)
            if not bells:
                self._bells.pop(task_id, None)

    async def _wait(self, bell: asyncio.Event) -> None:
        if not self._closed:
            await bell.wait()
        if self._closed:
            raise Unavailable("The control plane is shutting down.")

    async def _must_exist(self, task_id: str) -> None:
        if await self._store.get(task_id) is None:
            raise NotFound(f"There is no task {task_id}.")

    async def _is_over(self, task_id: str, seq: int) -> bool:
        """Whether nothing will ever come at or after `seq`."""
        task = await self._store.get(task_id)
        return task is None or (task.status.is_terminal and seq >= task.next_seq)
