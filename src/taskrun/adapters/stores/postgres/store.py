"""The store in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from taskrun.adapters.stores.batches import without
from taskrun.adapters.stores.postgres import pruning, reader, turns
from taskrun.adapters.stores.postgres.bells import Bells
from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.peers import PostgresPeers
from taskrun.adapters.stores.postgres.writer import Writer
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery
from taskrun.domain.status import TaskStatus
from taskrun.ports.peers import LEASE
from taskrun.ports.store import Answer, Backlog, Batch, Recovery, Retention, TurnedAway


class PostgresStore:
    """Implements `Store`. What `commit` has stored outlives the process, and the server's."""

    def __init__(self, database: Database, lease: float = LEASE) -> None:
        """`lease`: for how many seconds others believe that this control plane lives, when it says nothing."""
        self._database = database
        self._writer = Writer(database.shard, lease)
        self._bells = Bells(database)
        #: The other control planes on this database.
        self.peers = PostgresPeers(database, self._writer, self._bells)

    @property
    def room(self) -> bool:
        """See `Store.room`."""
        return self._database.room

    async def recover(self) -> Recovery:
        """See `Store.recover`."""
        recovery, self._bells.others = await self._database.write(self._writer.recover)
        self._bells.call_together()
        return recovery

    async def commit(self, batch: Batch) -> Sequence[Answer]:
        """See `Store.commit`."""
        # The caller, if it is cancelled, may go on with its batch while this is still under way.
        stories = {task_id: list(each) for task_id, each in batch.story.items()}
        limits = dict(batch.waiting), dict(batch.rates), dict(batch.running), dict(batch.counted)
        own = Batch(dict(batch.tasks), stories, list(batch.asks), *limits)
        answers = await self._database.write(self._writer.commit, own)
        turned_away = {task.id for each in answers if isinstance(each, TurnedAway) for task in each.tasks}
        room = await self._give_up_places()
        self._bells.tell(without(own, turned_away), limited=self._writer.limited, room=room)
        return answers

    async def _give_up_places(self) -> bool:
        """Leaves the queues in which it stands for nothing. Whether others have room by that, or by the commit."""
        places = self._writer.places
        waited_for = False
        if places.unwanted:
            # What is stored does not rest on it, and who does not come is dropped.
            with suppress(StoreFailed):
                waited_for = await self._database.change(turns.leave, self._writer.owner, places.unwanted)
        return waited_for or places.passed_on

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
        return await self._database.change(pruning.prune, retention, limit)

    async def close(self) -> None:
        """See `Store.close`. It closes the database, for all that share it."""
        await self.peers.leave()
        await self._bells.close()
        await self._database.close()
