"""A store that misbehaves on demand, in the ways in which a real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Answer, Backlog, Batch, Recovery, Retention, Store

Given = ParamSpec("Given")
Result = TypeVar("Result")


class FaultyStore:
    """Implements `Store` by another one. Told nothing, it does all that the other does.

    `commits` counts the commits that were asked for, those that failed included.
    """

    def __init__(self, inner: Store) -> None:
        self.commits = 0
        self._inner = inner
        self._commits_to_fail = 0
        self._answers_to_lose = 0
        self._broken = False
        self._full = False
        self._lag: asyncio.Event | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._held = 0
        self._call_held = asyncio.Event()

    def fail_commits(self, count: int = 1) -> None:
        """The next so many commits raise `StoreFailed`, and nothing of them is stored."""
        self._commits_to_fail = count

    def lose_answers(self, count: int = 1) -> None:
        """The next so many commits are stored, and raise `StoreFailed` all the same: their answers got lost."""
        self._answers_to_lose = count

    def break_down(self) -> None:
        """From now on every call raises `StoreFailed`, until `mend`."""
        self._broken = True

    def mend(self) -> None:
        """Takes back `break_down`, `fill_up` and what is left of `fail_commits` and `lose_answers`."""
        self._broken = False
        self._full = False
        self._commits_to_fail = self._answers_to_lose = 0

    def lag(self) -> asyncio.Event:
        """The next commit waits, nothing of it being stored, until the event that this returns is set."""
        self._lag = asyncio.Event()
        return self._lag

    def clog(self) -> None:
        """From now on every call waits, until `unclog`."""
        self._open.clear()

    def unclog(self) -> None:
        """Lets every call that waits go on, and those to come."""
        self._open.set()

    async def held(self) -> None:
        """Returns as soon as a call waits in here because of `lag` or `clog`."""
        await self._call_held.wait()

    def fill_up(self) -> None:
        """There is no room for new tasks, until `mend`."""
        self._full = True

    @property
    def room(self) -> bool:
        """See `Store.room`."""
        return not self._full and self._inner.room

    async def recover(self) -> Recovery:
        """See `Store.recover`."""
        return await self._passed(self._inner.recover)

    async def commit(self, batch: Batch) -> Sequence[Answer]:
        """See `Store.commit`."""
        self.commits += 1
        lag, self._lag = self._lag, None
        if lag is not None:
            await self._hold(lag)
        if self._commits_to_fail:
            self._commits_to_fail -= 1
            raise StoreFailed("The store was told to fail this commit.")
        answers = await self._passed(self._inner.commit, batch)
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            raise StoreFailed("The store was told to lose this answer.")
        return answers

    async def get(self, task_id: str) -> Task | None:
        """See `Store.get`."""
        return await self._passed(self._inner.get, task_id)

    async def find(self, query: TaskQuery) -> TaskPage:
        """See `Store.find`."""
        return await self._passed(self._inner.find, query)

    async def story(self, task_id: str, from_seq: int, limit: int = 1000) -> Sequence[StoryEntry]:
        """See `Store.story`."""
        return await self._passed(self._inner.story, task_id, from_seq, limit)

    async def backlog(self) -> Mapping[Requirement, Backlog]:
        """See `Store.backlog`."""
        return await self._passed(self._inner.backlog)

    async def ahead(self, task_id: str, most: int) -> int | None:
        """See `Store.ahead`."""
        return await self._passed(self._inner.ahead, task_id, most)

    async def prune(self, retention: Retention, limit: int) -> Mapping[TaskStatus, int]:
        """See `Store.prune`."""
        return await self._passed(self._inner.prune, retention, limit)

    async def close(self) -> None:
        """See `Store.close`. It works also while broken or clogged."""
        await self._inner.close()

    async def _passed(
        self, call: Callable[Given, Awaitable[Result]], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """The answer of the other store to this call."""
        if not self._open.is_set():
            await self._hold(self._open)
        if self._broken:
            raise StoreFailed("The store was told to be broken.")
        return await call(*args, **kwargs)

    async def _hold(self, until: asyncio.Event) -> None:
        self._held += 1
        self._call_held.set()
        try:
            await until.wait()
        finally:
            self._held -= 1
            if not self._held:
                self._call_held.clear()
