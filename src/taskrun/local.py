"""A whole control plane in one process: the engine, a store, and workers whose agents are Python functions.

This is the way to embed TaskRun. Nothing listens on a port and no gRPC is loaded; the scheduling, the state machines
and the promises are those of the packaged control plane.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType

from loguru import logger

from taskrun.adapters.agents.function import Function, FunctionAgent
from taskrun.adapters.local.link import LocalConnector
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, TaskRunError
from taskrun.domain.explanation import Explanation
from taskrun.domain.limits import (
    DEFAULT_PAGE,
    check_agent_name,
    check_key,
    check_message,
    check_worker_id,
    checked_query,
    checked_spec,
)
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
from taskrun.domain.status import FailureKind, TaskStatus
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
    """An async context manager, to be entered once: it works inside, and ends its workers and itself with it.

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
        #: The agents of the worker `local`, by name.
        self._agents: dict[str, Agent] = {}
        #: The life of each worker, by id.
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._entered = self._open = False

    async def __aenter__(self) -> LocalControlPlane:
        """Raises `InvalidArgument` if the worker `local` cannot be what it was made, and `FailedPrecondition` the
        second time."""
        if self._entered:
            raise FailedPrecondition("A local control plane is entered once: make another.")
        # What may be refused is made before anything runs: what was not entered is not left either.
        local = self._daemon("local", tuple(self._agents.values()), NO_LABELS, self._max_concurrent_runs)
        self._entered = True
        await self._engine.start()
        self._open = True
        if self._agents:
            self._start("local", local)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        await _end(self._workers.values())
        await self._engine.stop()
        await self._store.close()

    # Workers.

    def agent(self, name: str, description: str = "") -> Callable[[Function], Function]:
        """A decorator: the function becomes an agent of the worker `local`. Use it before `async with`.

        The function is `async def f(request, sink)`: what it returns is the output, what it raises fails the run.
        Raises `InvalidArgument` for a bad name, `AlreadyExists` for one that is taken, and `FailedPrecondition` once
        the control plane was entered: a worker says what it offers when it connects.
        """
        check_agent_name(name)

        def add(function: Function) -> Function:
            if self._entered:
                raise FailedPrecondition("The worker `local` is connected already: use `add_worker` for another.")
            if name in self._agents:
                raise AlreadyExists(f"There is an agent {name} already.")
            self._agents[name] = FunctionAgent(name, function, description)
            return function

        return add

    async def add_worker(
        self, worker_id: str, agents: Sequence[Agent], *, labels: Labels = NO_LABELS, max_concurrent_runs: int = 10
    ) -> None:
        """Starts a worker in this process.

        Should it end by an error, that is logged (see `loguru.logger.enable`) and its runs go to others. Raises
        `InvalidArgument` for a bad id, agents, labels or number, `AlreadyExists` for the id of a worker that runs, and
        `FailedPrecondition` outside `async with`.
        """
        check_worker_id(worker_id)
        if not self._open:
            raise FailedPrecondition("Workers run inside `async with` only.")
        if worker_id in self._workers:
            raise AlreadyExists(f"There is a worker {worker_id} already.")
        self._start(worker_id, self._daemon(worker_id, agents, labels, max_concurrent_runs))

    async def remove_worker(self, worker_id: str) -> None:
        """Takes a worker away at once, as if it had died: its runs go to others. Raises `NotFound`."""
        life = self._workers.pop(worker_id, None)
        if life is None:
            raise NotFound(f"There is no worker {worker_id}.")
        await _end([life])

    def _daemon(self, worker_id: str, agents: Sequence[Agent], labels: Labels, max_concurrent_runs: int) -> Daemon:
        return Daemon(
            [LocalConnector(self._engine, worker_id)],
            agents,
            WorkerInfo("localhost", __version__, labels=labels),
            self._clock,
            DaemonTimers(),
            max_concurrent_runs,
            random.SystemRandom().random,
        )

    def _start(self, worker_id: str, daemon: Daemon) -> None:
        life = self._workers[worker_id] = asyncio.create_task(daemon.run(), name=f"worker {worker_id}")
        life.add_done_callback(partial(self._ended, worker_id))

    def _ended(self, worker_id: str, life: asyncio.Task[None]) -> None:
        """A worker is over: taken away, or by an error that nobody waits for."""
        if self._workers.get(worker_id) is life:
            del self._workers[worker_id]
        if not life.cancelled() and (error := life.exception()):
            logger.opt(exception=error).error("worker {} ended by an error: {}", worker_id, error)

    def workers(self) -> Sequence[WorkerView]:
        """The connected workers, by id."""
        return self._engine.workers()

    # Tasks.

    async def create(
        self,
        agent: str,
        input: object = None,
        *,
        labels: Labels = NO_LABELS,
        timeout_ms: int = 0,
        priority: int = 0,
        max_attempts: int = 3,
        retry_on: Collection[FailureKind] = (),
        selector: Mapping[str, str] = NO_LABELS,
        idempotency_key: str = "",
        silence_timeout_ms: int = 0,
        queue_timeout_ms: int = 0,
    ) -> Task:
        """Creates a task. `input` is any value that JSON can hold, `selector` are labels that its worker must have;
        the others are as in `TaskSpec`.

        Raises `InvalidArgument`, `AlreadyExists` (idempotency key) or `Unavailable`.
        """
        spec = TaskSpec(
            agent,
            _as_json(input),
            labels,
            timeout_ms,
            priority,
            max_attempts,
            frozenset(retry_on),
            tuple(sorted(selector.items())),
            idempotency_key,
            silence_timeout_ms,
            queue_timeout_ms,
        )
        [answer] = await self._engine.create([checked_spec(spec)], created_by="local")
        if isinstance(answer, TaskRunError):
            raise answer
        return answer

    async def get(self, task_id: str) -> Task:
        """The task as it now is. Raises `NotFound`."""
        return await self._engine.get(task_id)

    async def find(
        self,
        *,
        status: TaskStatus | None = None,
        agent: str = "",
        labels: Labels = NO_LABELS,
        limit: int = DEFAULT_PAGE,
        page_token: str = "",
    ) -> TaskPage:
        """The tasks that match all of it, newest first; see `TaskQuery`. Raises `InvalidArgument`."""
        return await self._engine.find(checked_query(TaskQuery(status, agent, labels, limit, page_token)))

    async def explain(self, task_id: str) -> Explanation:
        """Why the task waits; see `TaskApi.explain`. Raises `NotFound`."""
        return await self._engine.explain(task_id)

    async def cancel(self, task_id: str) -> Task:
        """Asks for the task's end; see `TaskApi.cancel`."""
        return await self._engine.cancel(task_id)

    async def continue_task(self, task_id: str, message: str, *, fork: bool = False, idempotency_key: str = "") -> Task:
        """Says something more to the agent of a task, whose results must name a session; see `TaskApi.continue_task`.

        Returns the task that will have the answer. Raises `InvalidArgument` for an empty or too long message, and what
        `TaskApi.continue_task` does.
        """
        check_message(message)
        check_key(idempotency_key)
        return await self._engine.continue_task(task_id, message, "local", fork=fork, key=idempotency_key)

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


async def _end(lives: Iterable[asyncio.Task[None]]) -> None:
    """Ends workers, and returns when they have."""
    ending = tuple(lives)
    for life in ending:
        life.cancel()
    if ending:
        await asyncio.wait(ending)


def _as_json(input: object) -> str:
    try:
        return json.dumps(input, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"The input is nothing that JSON can hold: {error}.") from error
