"""The store in memory: for tests, for embedding, and for control planes whose tasks may die with them."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter

from taskrun.adapters.stores.batches import check_batch
from taskrun.adapters.stores.memory_ended import MemoryEnded, size_of_story, size_of_task
from taskrun.adapters.stores.memory_index import MemoryIndex
from taskrun.adapters.stores.memory_keys import MemoryKeys
from taskrun.adapters.stores.memory_queue import MemoryQueue
from taskrun.adapters.stores.page_tokens import id_of_token, page_token
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery
from taskrun.domain.relayed import answer_alone
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import (
    Answer,
    Ask,
    Backlog,
    Batch,
    CancelRelayed,
    ClaimExpired,
    ClaimNext,
    ClaimRuns,
    ClaimStranded,
    ClaimTask,
    ExpiredClaimed,
    FindKey,
    KeyFound,
    RateTaken,
    Recovery,
    RelayCancel,
    Retention,
    RunsClaimed,
    StrandedClaimed,
    TakeRate,
    TaskClaimed,
    TasksClaimed,
)

#: Tasks looked at for a label before others get their say.
_SCAN = 500
#: Tasks looked at for a label in one call: a label that nobody has must not cost the whole store.
_MOST_SCANNED = 10_000

_SEQ = attrgetter("seq")


class MemoryStore:
    """Implements `Store`. It refuses what would leave a story with a gap or begun twice, or a task with two names."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._stories: dict[str, list[StoryEntry]] = {}
        self._queue = MemoryQueue()
        #: Ids of tasks that are PENDING, but taken out of the queue by a claim.
        self._claimed: set[str] = set()
        self._index = MemoryIndex()
        self._keys = MemoryKeys()
        self._ended = MemoryEnded()
        self._counts = dict.fromkeys(TaskStatus, 0)
        self._closed = False

    @property
    def room(self) -> bool:
        """See `Store.room`. Memory knows no end."""
        return True

    async def recover(self) -> Recovery:
        """See `Store.recover`."""
        self._must_be_open()
        for task_id in self._claimed:
            self._queue.add(self._tasks[task_id])
        self._claimed.clear()
        running = self._index.newest("", TaskStatus.RUNNING, None, self._counts[TaskStatus.RUNNING])
        active = tuple(self._tasks[task_id] for task_id in reversed(running))
        return Recovery(active, self._queue.backlog(), dict(self._counts), self._queue.expires_at_ms())

    async def commit(self, batch: Batch) -> Sequence[Answer]:
        """See `Store.commit`."""
        self._must_be_open()
        # Before anything is applied, so that a batch is stored as a whole or not at all.
        check_batch(batch, {task_id: self._before(task_id) for task_id in batch.story})
        for task in batch.tasks.values():
            self._save(task)
        stories = self._stories
        for task_id, entries in batch.story.items():
            story = stories.get(task_id)
            self._ended.bytes += size_of_story(entries)
            if story is None:
                stories[task_id] = list(entries)
            else:
                story.extend(entries)
        return [self._answer(ask) for ask in batch.asks]

    async def get(self, task_id: str) -> Task | None:
        """See `Store.get`."""
        self._must_be_open()
        return self._tasks.get(task_id)

    async def find(self, query: TaskQuery) -> TaskPage:
        """See `Store.find`. A filter by labels looks through the tasks that match the others."""
        before = id_of_token(query.page_token) if query.page_token else None
        labels, limit = query.labels.items(), query.limit
        step = _SCAN if labels else limit + 1
        found: list[Task] = []
        scanned = 0
        while True:
            self._must_be_open()
            ids = self._index.newest(query.agent, query.status, before, step)
            tasks = map(self._tasks.__getitem__, ids)
            found.extend([task for task in tasks if labels <= task.spec.labels.items()] if labels else tasks)
            if len(found) > limit:
                return TaskPage(tuple(found[:limit]), page_token(found[limit - 1].id))
            if len(ids) < step:
                return TaskPage(tuple(found))
            before = ids[-1]
            scanned += step
            if scanned >= _MOST_SCANNED:
                return TaskPage(tuple(found), page_token(before))
            await asyncio.sleep(0)

    async def story(self, task_id: str, from_seq: int, limit: int = 1000) -> Sequence[StoryEntry]:
        """See `Store.story`."""
        self._must_be_open()
        story = self._stories.get(task_id)
        if not story or from_seq >= story[-1].next_seq:
            return []
        start = max(0, bisect_right(story, from_seq, key=_SEQ) - 1)
        entries = story[start : start + limit]
        if entries:
            entries[0] = entries[0].since(from_seq)
        return entries

    async def backlog(self) -> Mapping[Requirement, Backlog]:
        """See `Store.backlog`."""
        self._must_be_open()
        return self._queue.backlog()

    async def ahead(self, task_id: str, most: int) -> int | None:
        """See `Store.ahead`."""
        self._must_be_open()
        task = self._tasks.get(task_id)
        return None if task is None else self._queue.ahead(task, most)

    async def prune(self, retention: Retention, limit: int) -> Mapping[TaskStatus, int]:
        """See `Store.prune`."""
        self._must_be_open()
        removed = Counter[TaskStatus]()
        for task in self._ended.removable(self._tasks, retention, limit):
            self._remove(task)
            removed[task.status] += 1
        return removed

    async def close(self) -> None:
        """See `Store.close`. The tasks are gone with it."""
        self._closed = True
        self._tasks.clear()
        self._stories.clear()
        self._claimed.clear()
        self._queue, self._index, self._keys = MemoryQueue(), MemoryIndex(), MemoryKeys()
        self._ended = MemoryEnded()

    def _must_be_open(self) -> None:
        if self._closed:
            raise StoreFailed("The store is closed.")

    def _before(self, task_id: str) -> tuple[TaskStatus | None, int | None]:
        """The task's status, and the number that its story goes on with."""
        task, story = self._tasks.get(task_id), self._stories.get(task_id)
        return (task.status if task else None, story[-1].next_seq if story else None)

    def _save(self, task: Task) -> None:
        task_id, status = task.id, task.status
        old = self._tasks.get(task_id)
        self._tasks[task_id] = task
        if old is None:
            self._counts[status] += 1
            self._index.add(task)
            self._keys.add(task)
            self._ended.bytes += size_of_task(task)
            waited = False
        else:
            waited = old.status is TaskStatus.PENDING and task_id not in self._claimed
            self._claimed.discard(task_id)
            if old.status is not status:
                self._counts[old.status] -= 1
                self._counts[status] += 1
                self._index.move(task, old.status)
        self._ended.note(task)
        if waited:
            self._queue.remove(task)
        if status is TaskStatus.PENDING:
            self._queue.add(task)

    def _remove(self, task: Task) -> None:
        del self._tasks[task.id]
        story = self._stories.pop(task.id, [])
        self._ended.bytes -= size_of_task(task) + size_of_story(story)
        self._counts[task.status] -= 1
        self._index.remove(task)
        self._keys.remove(task)
        self._ended.remove(task.id)

    def _answer(self, ask: Ask) -> Answer:
        match ask:
            case ClaimNext():
                ids = self._queue.take(ask.requirements, ask.limit)
                self._claimed.update(ids)
                return TasksClaimed(ask, tuple([self._tasks[task_id] for task_id in ids]))
            case ClaimTask():
                task = self._tasks.get(ask.task_id)
                owned = task is not None and task.status is TaskStatus.PENDING and self._queue.remove(task)
                if owned:
                    self._claimed.add(ask.task_id)
                return TaskClaimed(ask, task, owned)
            case ClaimRuns():
                return RunsClaimed(ask, ())
            case TakeRate():
                return RateTaken(ask, ask.wanted)
            case RelayCancel():
                return CancelRelayed(ask, self._tasks.get(ask.task_id))
            case ClaimExpired():
                expired = self._claim(self._queue.expired(ask.until_ms, ask.limit))
                return ExpiredClaimed(ask, expired, self._queue.expires_at_ms())
            case ClaimStranded():
                return StrandedClaimed(ask, self._claim(self._queue.stranded(ask.worker_id, ask.limit)))
            case FindKey():
                made = self._keys.find(ask.caller, ask.key, ask.since_ms)
                return KeyFound(ask, None if made is None else self._tasks[made])
            case _:
                return answer_alone(ask)

    def _claim(self, ids: Sequence[str]) -> tuple[Task, ...]:
        """Takes these out of the queue."""
        tasks = tuple([self._tasks[task_id] for task_id in ids])
        for task in tasks:
            self._queue.remove(task)
            self._claimed.add(task.id)
        return tasks
