"""A whole control plane in one process: the engine, a store, and workers whose agents are Python functions.

This is the way to embed TaskRun. Nothing listens on a port and no gRPC is loaded; the scheduling, the state machines
and the promises are those of the packaged control plane.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from loguru import logger

from taskrun.adapters.agents.function import Function, FunctionAgent
from taskrun.adapters.local.link import LocalConnector
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.errors import TaskRunError
from taskrun.domain.limits import check_worker_id, checked_query, checked_spec
from taskrun.domain.records import (
    NO_LABELS,
    Labels,
    OutputSegment,
    StoryEntry,
    Task,
    TaskPage,
    TaskQuery,
    TaskSpec,
    WorkerInfo,
    WorkerView,
)
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.daemon import Daemon
from taskrun.ports.agents import Agent
from taskrun.ports.clock import Clock
from taskrun.ports.store import Store
from taskrun.ports.telemetry import Telemetry
from taskrun.version import __version__

# A library is silent unless its user asks: `loguru.logger.enable("taskrun")` shows what happens.
logger.disable("taskrun")


class Silent:
    """Telemetry for those who want none."""

    def record(self, events: Sequence[object]) -> None:
        """Forgets them."""


class LocalControlPlane:
    """An async context manager: it works inside `async with`, and ends its workers and itself with it.

    Agents added by `agent` run on one worker named `local`; `add_worker` adds more. Whatever is not given is the
    default: a memory store, the system's clock, no telemetry, the timers of the packaged control plane.
    """

    def __init__(
        self,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
        timers: ControlPlaneTimers | None = None,
        max_concurrent_runs: int = 10,
    ) -> None:
        self._store = store or MemoryStore()
        self._clock = clock or SystemClock()
        self._max_concurrent_runs = max_concurrent_runs
        self._engine = ControlPlane(
            self._store, self._clock, UuidV7Source(), telemetry or Silent(), timers or ControlPlaneTimers()
        )
        self._agents: list[Agent] = []
        self._workers: dict[str, tuple[Daemon, asyncio.Task[None]]] = {}

    async def __aenter__(self) -> LocalControlPlane:
        await self._engine.start()
        if self._agents:
            await self.add_worker("local", self._agents, max_concurrent_runs=self._max_concurrent_runs)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker_id in tuple(self._workers):
            await self.remove_worker(worker_id)
        await self._engine.stop()
        await self._store.close()

    # Workers.

    def agent(self, name: str, description: str = "") -> Callable[[Function], Function]:
        """A decorator: the function becomes an agent of the worker `local`. Use it before `async with`.

        The function is `async def f(request, sink)`: what it returns is the output, what it raises fails the run.
        """

        def add(function: Function) -> Function:
            self._agents.append(FunctionAgent(name, function, description))
            return function

        return add

    async def add_worker(
        self, worker_id: str, agents: Sequence[Agent], *, labels: Labels = NO_LABELS, max_concurrent_runs: int = 10
    ) -> None:
        """Starts a worker in this process. Raises `InvalidArgument` for a bad id."""
        check_worker_id(worker_id)
        daemon = Daemon(
            LocalConnector(self._engine, worker_id),
            agents,
            WorkerInfo("localhost", __version__, tuple(agent.spec for agent in agents), labels),
            self._clock,
            DaemonTimers(),
            max_concurrent_runs,
            random.SystemRandom().random,
        )
        self._workers[worker_id] = (daemon, asyncio.create_task(daemon.run(), name=f"worker {worker_id}"))

    async def remove_worker(self, worker_id: str) -> None:
        """Takes a worker away at once, as if it had died: its runs go to others."""
        _, task = self._workers.pop(worker_id)
        task.cancel()
        await asyncio.wait([task])

    def workers(self) -> Sequence[WorkerView]:
        """The connected workers, by id."""
        return self._engine.workers()

    # Tasks.

    async def create(self, agent: str, input: Any = None, **options: Any) -> Task:
        """Creates a task. `input` is any value that JSON can hold; `options` are the other fields of `TaskSpec`.

        Raises `InvalidArgument`, `AlreadyExists` (idempotency key) or `Unavailable`.
        """
        spec = TaskSpec(agent, json.dumps(input, allow_nan=False, ensure_ascii=False), **options)
        [answer] = await self._engine.create([checked_spec(spec)], created_by="local")
        if isinstance(answer, TaskRunError):
            raise answer
        return answer

    async def get(self, task_id: str) -> Task:
        """The task as it now is. Raises `NotFound`."""
        return await self._engine.get(task_id)

    async def find(self, query: TaskQuery | None = None, **filters: Any) -> TaskPage:
        """Tasks, newest first; `filters` are fields of `TaskQuery`."""
        return await self._engine.find(checked_query(replace(query or TaskQuery(), **filters)))

    async def cancel(self, task_id: str) -> Task:
        """Asks for the task's end; see `TaskApi.cancel`."""
        return await self._engine.cancel(task_id)

    def watch(self, task_id: str, from_seq: int = 0) -> AsyncIterator[Sequence[StoryEntry]]:
        """The task's story from `from_seq` on, live until the task has ended; see `TaskApi.watch`."""
        return self._engine.watch(task_id, from_seq)

    async def wait(self, task_id: str) -> Task:
        """Returns once the task has ended."""
        async for _ in self.watch(task_id):
            pass
        return await self.get(task_id)

    async def output(self, task_id: str) -> str:
        """The output of the task's last run; waits for the task's end."""
        outputs: dict[str, list[str]] = {}
        async for entries in self.watch(task_id):
            for entry in entries:
                if isinstance(entry.body, OutputSegment):
                    outputs.setdefault(entry.body.run_id, []).extend(entry.body.contents)
        runs = (await self.get(task_id)).runs
        return "".join(outputs.get(runs[-1].id, ())) if runs else ""
