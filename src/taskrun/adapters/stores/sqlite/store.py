"""The store in a SQLite file: the default, for one control plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from taskrun.adapters.stores.sqlite import pruning, reader
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.writer import Writer
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Answer, Backlog, Batch, Recovery, Retention


class SqliteStore:
    """Implements `Store`. What `commit` has stored outlives the process, and the machine's power."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = Writer(database.writer)

    @property
    def room(self) -> bool:
        """See `Store.room`."""
        return self._database.space.room

    async def recover(self) -> Recovery:
        """See `Store.recover`."""
        return await self._database.write(self._writer.recover)

    async def commit(self, batch: Batch) -> Sequence[Answer]:
        """See `Store.commit`."""
        # The caller, if it is cancelled, may go on with its batch while this is still under way.
        own = Batch(dict(batch.tasks), {task_id: list(each) for task_id, each in batch.story.items()}, list(batch.asks))
        return await self._database.write(self._writer.commit, own)

    async def get(self, task_id: str) -> Task | None:
        """See `Store.get`."""
        return await self._database.read(reader.task, task_id)

    async def find(self, query: TaskQuery) -> TaskPage:
        """See `Store.find`."""
        return await self._database.read(reader.page, query)

    async def story(self, task_id: str, from_seq: int, limit: int = 1000) -> Sequence[StoryEntry]:
        """See `Store.story`. Four MiB end an answer early."""
        return await self._database.read(reader.story, task_id, from_seq, limit)

    async def backlog(self) -> Mapping[Requirement, Backlog]:
        """See `Store.backlog`."""
        return await self._database.read(reader.backlog)

    async def ahead(self, task_id: str, most: int) -> int | None:
        """See `Store.ahead`."""
        return await self._database.read(reader.ahead, task_id, most)

    async def prune(self, retention: Retention, limit: int) -> Mapping[TaskStatus, int]:
        """See `Store.prune`."""
        ended = await self._database.read(pruning.removable, retention, limit)
        return await self._database.write(pruning.remove, self._database.writer, ended)

    async def close(self) -> None:
        """See `Store.close`. It closes the database, for all that share it."""
        await self._database.close()
