"""Clients that do not give up: they create, watch and cancel, and write down what they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from chaos.evidence import NUMBER, Portrait, atoms, end_of
from chaos.history import Recorder
from chaos.speech import Speech
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.domain.errors import FailedPrecondition, NotFound, ResourceExhausted, Unavailable
from taskrun.domain.records import Task, TaskPage, TaskQuery, TaskSpec
from taskrun.domain.status import TaskStatus

Answer = TypeVar("Answer")

#: Seconds before a call that could not be answered is made again.
_AGAIN = 0.1
#: Seconds that a call may take: one to a frozen process would else wait for ever.
TIMEOUT = 10.0


class Line:
    """A client's way to the control plane, made anew whenever it breaks: gRPC's own comes back ever more slowly."""

    def __init__(self, connect: Callable[[], AsyncClient], rest: Callable[[float], Awaitable[None]]) -> None:
        """`rest` lets so many seconds pass."""
        self._connect, self.rest = connect, rest
        self._client: AsyncClient | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    def client(self) -> AsyncClient:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def broke(self, client: AsyncClient) -> None:
        """This one is of no more use; others may have seen that before."""
        if self._client is client:
            self._client = None
            task = asyncio.create_task(self._close(client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def ask(self, call: Callable[[AsyncClient], Awaitable[Answer]]) -> Answer:
        """The answer, as soon as there is one; other errors than that nobody answers are the answer."""
        while True:
            client = self.client()
            try:
                return await call(client)
            except Unavailable:
                self.broke(client)
                await self.rest(_AGAIN)

    async def close(self) -> None:
        self._over.set()
        if self._client is not None:
            await self._client.close()
        await asyncio.gather(*self._closing)

    async def _close(self, client: AsyncClient) -> None:
        # Calls of others may be under way on it: they find out by themselves.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), 2 * TIMEOUT)
        await client.close()


class Clients:
    """What clients do with one task after the other."""

    def __init__(self, line: Line, history: Recorder) -> None:
        self._line, self._history = line, history
        self.tasks: dict[int, str] = {}

    async def create(self, agent: str, speech: Speech, attempts: int = 3) -> str:
        """The id of the task, once it is acknowledged: however often it has to be asked for, its key makes it one."""
        number = speech.number
        spec = TaskSpec(
            agent,
            json.dumps(str(speech)),
            labels={NUMBER: str(number)},
            max_attempts=attempts,
            idempotency_key=f"number {number}",
        )
        self._history.add("asked", number=number, agent=agent, speech=str(speech), attempts=attempts)
        while True:
            try:
                task = await self._line.ask(lambda client: client.create(spec))
            except ResourceExhausted as error:
                self._history.add("turned away", number=number, why=error.message)
                await self._line.rest(_AGAIN)
                continue
            self._history.add("acknowledged", number=number, task=task.id)
            self.tasks[number] = task.id
            return task.id

    async def cancel(self, task_id: str) -> None:
        """Asks for its end until somebody has heard it."""
        self._history.add("cancel asked", task=task_id)
        try:
            await self._line.ask(lambda client: client.cancel(task_id))
        except (FailedPrecondition, NotFound):
            return
        self._history.add("cancel acknowledged", task=task_id)

    async def watch(self, task_id: str, watcher: str, pause: float = 0.0) -> None:
        """Reads the task's story to its end, and goes on where it was whenever the connection breaks.

        A slow one rests for `pause` seconds after whatever it reads.
        """
        seen: list[list[int]] = []
        ends: list[str] = []
        try:
            while not ends:
                client = self._line.client()
                try:
                    async for entries in client.watch(task_id, seen[-1][0] + 1 if seen else 0):
                        seen += atoms(entries)
                        ends += end_of(entries)
                        if pause:
                            await self._line.rest(pause)
                    if not ends:
                        break
                except Unavailable:
                    self._line.broke(client)
                    await self._line.rest(_AGAIN)
        except NotFound:
            pass
        finally:
            self._history.add("watched", watcher=watcher, task=task_id, atoms=seen, ends=ends)

    async def all_ended(self, patience: float) -> bool:
        """Whether no task waits or runs any more; within so many seconds."""
        try:
            async with asyncio.timeout(patience):
                for status in (TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.PENDING):
                    while (await self._find(TaskQuery(status, limit=1))).tasks:
                        await self._line.rest(_AGAIN)
        except TimeoutError:
            return False
        return True

    async def portray(self, at_once: int = 16) -> None:
        """Writes down the final state of every task there is."""
        tasks = await self.all_tasks()
        numbers = iter(tasks)

        async def loop() -> None:
            for task in numbers:
                await self._portray(task)

        await asyncio.gather(*(loop() for _ in range(at_once)))

    async def _portray(self, task: Task) -> None:
        portrait = Portrait(task)
        if task.status.is_terminal:
            async for entries in self._line.client().watch(task.id):
                portrait.read(entries)
        self._history.add("final", **portrait.facts())

    async def all_tasks(self) -> list[Task]:
        """Every task there is."""
        found: list[Task] = []
        token = ""
        while True:
            page = await self._find(TaskQuery(limit=500, page_token=token))
            found += page.tasks
            token = page.next_page_token
            if not token:
                return found

    async def _find(self, query: TaskQuery) -> TaskPage:
        return await self._line.ask(lambda client: client.find(query))
