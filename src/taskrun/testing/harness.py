"""A control plane with its workers in one process, under a clock that jumps: hours of a system's life in milliseconds.

    async with Harness() as plane:
        await plane.start_worker("atlas", [FunctionAgent("greeter", greet)])
        [task] = await plane.engine.create([TaskSpec("greeter", '"world"')], "me")
        await plane.settle()                    # everything that follows from it has happened
        await plane.kill_worker("atlas")
        await plane.clock.advance(45)           # and so has everything of the next 45 seconds

Nothing passes by itself, so nothing in a test has to wait, and a test that fails fails every time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType

from taskrun.adapters.local.link import LocalConnector
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.errors import TaskRunError
from taskrun.domain.events import DomainEvent
from taskrun.domain.limits import check_worker_id
from taskrun.domain.protocol import FromWorker, Hello, ToWorker
from taskrun.domain.quotas import FREE, Policy
from taskrun.domain.records import NO_LABELS, Labels, WorkerInfo
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.daemon import Daemon
from taskrun.ports.agents import Agent
from taskrun.ports.control_plane import WorkerGateway
from taskrun.ports.link import Link
from taskrun.ports.store import Store
from taskrun.ports.telemetry import Telemetry
from taskrun.testing.clock import JumpingClock
from taskrun.version import __version__


class RecordingTelemetry:
    """Keeps the events, oldest first."""

    def __init__(self) -> None:
        self.events: list[DomainEvent] = []

    def record(self, events: Sequence[DomainEvent]) -> None:
        self.events.extend(events)


class FreezableConnector:
    """Implements `Connector` for a worker that can be frozen: its stream stays open and carries nothing."""

    def __init__(self, gateway: WorkerGateway, worker_id: str) -> None:
        self._connector = LocalConnector(gateway, worker_id)
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def connect(self, hello: Hello) -> Link:
        """See `Connector.connect`."""
        await self._flowing.wait()
        return _FreezableLink(await self._connector.connect(hello), self._flowing)

    async def cut(self) -> None:
        """Breaks the stream that is open; the worker may open another."""
        await self._connector.cut()

    def freeze(self) -> None:
        """From now on nothing comes through, in either direction."""
        self._flowing.clear()

    def thaw(self) -> None:
        """What was held up comes through, and all that follows."""
        self._flowing.set()


class _FreezableLink:
    def __init__(self, link: Link, flowing: asyncio.Event) -> None:
        self._link, self._flowing = link, flowing

    async def incoming(self) -> AsyncIterator[Sequence[ToWorker]]:
        try:
            async for messages in self._link.incoming():
                await self._flowing.wait()
                yield messages
        except TaskRunError:
            await self._flowing.wait()
            raise

    async def send(self, messages: Sequence[FromWorker]) -> int:
        await self._flowing.wait()
        return await self._link.send(messages)

    async def close(self) -> None:
        await self._link.close()


@dataclass(frozen=True, slots=True)
class HarnessWorker:
    """One worker of a harness."""

    daemon: Daemon
    line: FreezableConnector
    #: `daemon.run()`.
    life: asyncio.Task[None]


class Harness:
    """An async context manager. `engine` is the control plane; whatever is not given has the packaged defaults.

    Workers reconnect after exactly half of their bound, as if chance always gave 0.5.
    """

    def __init__(
        self,
        *,
        store: Store | None = None,
        clock: JumpingClock | None = None,
        telemetry: Telemetry | None = None,
        timers: ControlPlaneTimers | None = None,
        worker_timers: DaemonTimers | None = None,
        policy: Policy = FREE,
    ) -> None:
        self.clock = clock or JumpingClock()
        self.store = store or MemoryStore()
        self.telemetry = telemetry or RecordingTelemetry()
        self.workers: dict[str, HarnessWorker] = {}
        self._worker_timers = worker_timers or DaemonTimers()
        self._processes = count(1)
        self.engine = ControlPlane(
            self.store, self.clock, UuidV7Source(), self.telemetry, timers or ControlPlaneTimers(), policy=policy
        )

    async def __aenter__(self) -> Harness:
        await self.engine.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker_id in tuple(self.workers):
            await self.kill_worker(worker_id)
        await self.engine.stop()
        await self.store.close()

    async def settle(self) -> None:
        """Returns once everything that can happen without time passing has happened."""
        await self.clock.advance(0)

    async def start_worker(
        self, worker_id: str, agents: Sequence[Agent], *, labels: Labels = NO_LABELS, max_concurrent_runs: int = 10
    ) -> HarnessWorker:
        """A worker that is connected when this returns. Raises `InvalidArgument` for what no worker may be."""
        check_worker_id(worker_id)
        line = FreezableConnector(self.engine, worker_id)
        info = WorkerInfo("localhost", __version__, tuple(agent.spec for agent in agents), labels)
        process = f"{worker_id}-{next(self._processes)}"
        daemon = Daemon([line], agents, info, self.clock, self._worker_timers, max_concurrent_runs, _even, process)
        worker = HarnessWorker(daemon, line, asyncio.create_task(daemon.run(), name=f"worker {worker_id}"))
        self.workers[worker_id] = worker
        await self.settle()
        return worker

    async def kill_worker(self, worker_id: str) -> None:
        """The worker is gone at once, its runs with it; harmless if it has ended by itself."""
        worker = self.workers.pop(worker_id)
        worker.life.cancel()
        await asyncio.wait([worker.life])
        await self.settle()


def _even() -> float:
    return 0.5
