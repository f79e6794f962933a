"""The fault harness's load and agents around a control plane and workers in this process, under a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from chaos.clients import Clients, Line
from chaos.history import Memory
from chaos.oracle import Verdict, judge
from chaos.record import PLANE, Promises
from chaos.speech import Speech
from chaos.worker import say
from taskrun.adapters.agents.function import FunctionAgent
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.batch import Answer, Batch, Recovery
from taskrun.domain.errors import TaskRunError
from taskrun.domain.protocol import FromWorker, Hello
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.ports.control_plane import WorkerOutbox
from taskrun.testing.clock import JumpingClock
from taskrun.testing.faulty_store import FaultyStore
from taskrun.testing.harness import Harness, RecordingTelemetry

#: Seconds in which everything comes to its end.
_LONG = 900.0


class World(Harness):
    """A harness whose control plane can be killed. An asynchronous context manager."""

    def __init__(self) -> None:
        clock = JumpingClock()
        self.brink = Brink(MemoryStore())
        super().__init__(store=self.brink, clock=clock)
        self.history = Memory(lambda: clock.now().mono)
        self.history.add("clock", utc=clock.now().utc_ms / 1000)
        self.board = Board(self._new_plane)
        self.engine = cast(ControlPlane, self.board)
        self.clients = Clients(Line(lambda: cast(AsyncClient, LocalClient(self.board)), self._rest), self.history)
        self._calls: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> World:
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await super().__aexit__(*error)

    async def hire(self, *worker_ids: str, slots: int = 10) -> None:
        """Starts workers with the harness's agent."""
        for worker_id in worker_ids:
            agent = FunctionAgent("say", say(self.history, self.clock, worker_id))
            await self.start_worker(worker_id, [agent], max_concurrent_runs=slots)

    def create(self, speech: Speech) -> asyncio.Task[str]:
        """A client creates a task, however long it takes."""
        call = asyncio.create_task(self.clients.create("say", speech))
        self._calls.append(call)
        return call

    async def begin(self, speech: Speech) -> str:
        """A task that is under way."""
        call = self.create(speech)
        await self.settle()
        return call.result()

    def watch(self, task_id: str) -> None:
        self._calls.append(asyncio.create_task(self.clients.watch(task_id, "watcher")))

    async def cancel(self, task_id: str) -> None:
        await self.clients.cancel(task_id)

    async def worker_of(self, task_id: str) -> str:
        """Who has the task's last run."""
        return (await self.board.get(task_id)).runs[-1].worker_id

    async def kill_plane(self) -> None:
        """What it has not stored is gone, its streams are broken, and a new one starts on the same store."""
        self.history.add("fault", fault="kill", target=PLANE)
        await self.board.kill()
        for worker in self.workers.values():
            await worker.line.cut()
        self.brink.let_go()
        await self.settle()
        await self.board.start()
        self.history.add("fault over", fault="kill", target=PLANE)

    async def cut(self, worker_id: str) -> None:
        """A worker's stream breaks."""
        await self.workers[worker_id].line.cut()
        self.history.add("fault", fault="cut", target=worker_id)

    def isolate(self, worker_id: str) -> None:
        """Nothing comes through to a worker or from it."""
        self.history.add("fault", fault="hold there", target=worker_id)
        self.workers[worker_id].line.freeze()

    def connect(self, worker_id: str) -> None:
        """The opposite of `isolate`."""
        self.workers[worker_id].line.thaw()
        self.history.add("fault over", fault="hold there", target=worker_id)

    async def verdict(self, promises: Promises | None = None) -> Verdict:
        """What the oracle says once all has come to its end."""
        await self.clock.advance(_LONG)
        await self.clients.portray()
        await self.settle()
        return judge(self.history.events, promises or Promises(resume=DaemonTimers().resume))

    async def _rest(self, seconds: float) -> None:
        await self.clock.sleep_until(self.clock.now().mono + seconds)

    def _new_plane(self) -> ControlPlane:
        return ControlPlane(self.store, self.clock, UuidV7Source(), RecordingTelemetry(), ControlPlaneTimers())


class Board:
    """Stands before the control plane of the moment. Sessions of one that is dead mean nothing to the next."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._plane: ControlPlane = make()
        self._sessions: dict[int, tuple[ControlPlane, int]] = {}
        #: Everything that workers say comes twice.
        self.doubles = False
        #: The ends of streams are noticed later.
        self.half_open = False
        self._unnoticed: list[int] = []

    async def start(self) -> Recovery:
        return await self._plane.start()

    async def stop(self) -> None:
        await self._plane.stop()

    async def kill(self) -> None:
        """Whoever waits for an answer gets none but that the line is broken."""
        dead, self._plane = self._plane, self._make()
        await dead.stop()

    async def notice(self) -> None:
        """What was not noticed is noticed now."""
        self.half_open = False
        for session in self._unnoticed:
            await self.disconnect(session)
        self._unnoticed = []

    # WorkerGateway.

    async def connect(self, worker_id: str, hello: Hello, outbox: WorkerOutbox) -> int:
        plane = self._plane
        session = await plane.connect(worker_id, hello, outbox)
        number = len(self._sessions)
        self._sessions[number] = plane, session
        return number

    async def receive(self, session: int, messages: Sequence[FromWorker], size: int = 0) -> None:
        plane, number = self._sessions[session]
        for _ in range(1 + self.doubles):
            await plane.receive(number, messages, size)

    async def disconnect(self, session: int) -> None:
        if self.half_open:
            self._unnoticed.append(session)
        else:
            plane, number = self._sessions[session]
            await plane.disconnect(number)

    # TaskApi.

    async def create(self, specs: Sequence[TaskSpec], created_by: str) -> Sequence[Task | TaskRunError]:
        return await self._plane.create(specs, created_by)

    async def get(self, task_id: str) -> Task:
        return await self._plane.get(task_id)

    async def find(self, query: TaskQuery) -> TaskPage:
        return await self._plane.find(query)

    async def cancel(self, task_id: str) -> Task:
        return await self._plane.cancel(task_id)

    def watch(self, task_id: str, from_seq: int = 0) -> AsyncIterator[Sequence[StoryEntry]]:
        return self._plane.watch(task_id, from_seq)


class LocalClient:
    """What `AsyncClient` is over gRPC."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.find, self.cancel, self.watch = board.find, board.cancel, board.watch

    async def create(self, spec: TaskSpec) -> Task:
        [answer] = await self._board.create([spec], "client:chaos")
        if isinstance(answer, TaskRunError):
            raise answer
        return answer

    async def close(self) -> None:
        """Nothing is open."""


class Brink(FaultyStore):
    """Stops a commit just before it is stored, or just after, before anybody hears of it."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self._free = asyncio.Event()
        self._free.set()
        self._skip = 0
        self._stored = False

    def stop(self, *, stored: bool, skip: int = 0) -> None:
        """The next commit but `skip`, and all after it, do not return until `let_go`."""
        self._free.clear()
        self._stored, self._skip = stored, skip

    def let_go(self) -> None:
        self._free.set()

    async def commit(self, batch: Batch) -> Sequence[Answer]:
        if not self._free.is_set() and self._skip:
            self._skip -= 1
            return await super().commit(batch)
        if not self._stored:
            await self._free.wait()
        answers = await super().commit(batch)
        await self._free.wait()
        return answers
