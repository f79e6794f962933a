"""The control plane's ports, played by objects that keep what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain.api_keys import ApiKey
from taskrun.domain.certificates.certificate import Certificate, CertificatePage, CertificateQuery
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, NotFound, TaskRunError
from taskrun.domain.explanation import Ahead, Explanation
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.identity import Identity, Role
from taskrun.domain.protocol import FEATURES, FromWorker, Hello, HelloAck
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerInfo, WorkerView
from taskrun.domain.status import TaskStatus, WorkerStatus
from taskrun.engine.gate import Gate
from taskrun.ports.api_keys import NewApiKey
from taskrun.ports.certificates import CertificateStore
from taskrun.ports.clock import Clock
from taskrun.ports.control_plane import WorkerOutbox
from taskrun.ports.enrollment import BootstrapToken, Enrollment
from taskrun.testing.harness import RecordingTelemetry

#: Seconds that anything may take on a busy machine.
PATIENCE = 30.0


class Bell:
    """Rung on every change, so that a test can wait for one."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def ring(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Session:
    worker_id: str
    hello: Hello
    outbox: WorkerOutbox
    received: list[FromWorker] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    over: bool = False


class StubGateway(Bell):
    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[int, Session] = {}
        self._ids = count(1)
        self.refusal: TaskRunError | None = None

    async def connect(self, worker_id: str, hello: Hello, outbox: WorkerOutbox) -> int:
        if self.refusal is not None:
            raise self.refusal
        session = next(self._ids)
        self.sessions[session] = Session(worker_id, hello, outbox)
        outbox.send([HelloAck(worker_id, frozenset(FEATURES))])
        self.ring()
        return session

    async def receive(self, session: int, messages: Sequence[FromWorker], size: int = 0) -> None:
        self.sessions[session].received += messages
        self.sessions[session].batches.append(len(messages))
        self.sessions[session].sizes.append(size)
        self.ring()

    async def disconnect(self, session: int) -> None:
        self.sessions[session].over = True
        self.ring()

    async def session(self, number: int = 1) -> Session:
        await self.until(lambda: number in self.sessions)
        return self.sessions[number]


class StubTasks(Bell):
    def __init__(self) -> None:
        super().__init__()
        self.created: list[tuple[TaskSpec, str]] = []
        self.calls: list[int] = []
        self.messages: list[tuple[str, str, str, bool, str]] = []
        self.tasks: dict[str, Task] = {}
        self.queries: list[TaskQuery] = []
        self.story: list[Sequence[StoryEntry]] = []
        self.fits: tuple[WorkerFit, ...] = (WorkerFit("w-1", ("is DRAINING",)),)
        self.goes_on = False
        self.watchers = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def create(self, specs: Sequence[TaskSpec], created_by: str) -> Sequence[Task | TaskRunError]:
        self.calls.append(len(specs))
        self.ring()
        await self.gate.wait()
        return [self._create(spec, created_by) for spec in specs]

    def _create(self, spec: TaskSpec, created_by: str) -> Task | TaskRunError:
        if spec.agent == "nobody":
            return FailedPrecondition("Nobody.")
        if spec.agent == "bug":
            raise KeyError("/etc/secret")
        task = Task(f"t-{len(self.tasks)}", spec, TaskStatus.PENDING, created_by, 1)
        self.tasks[task.id] = task
        self.created.append((spec, created_by))
        return task

    async def get(self, task_id: str) -> Task:
        if task_id not in self.tasks:
            raise NotFound(f"There is no task {task_id}.")
        return self.tasks[task_id]

    async def find(self, query: TaskQuery) -> TaskPage:
        self.queries.append(query)
        found = list(reversed(self.tasks.values()))
        start = int(query.page_token or 0)
        end = start + query.limit
        return TaskPage(tuple(found[start:end]), str(end) if end < len(found) else "")

    async def explain(self, task_id: str) -> Explanation:
        task = await self.get(task_id)
        return Explanation(task.id, task.status, "no worker is connected", 1, Ahead(2), 3, self.fits, 4)

    async def cancel(self, task_id: str) -> Task:
        return await self.get(task_id)

    async def continue_task(
        self, task_id: str, message: str, asked_by: str, *, fork: bool = False, key: str = ""
    ) -> Task:
        self.messages.append((task_id, message, asked_by, fork, key))
        return await self.get(task_id)

    async def watch(self, task_id: str, from_seq: int = 0) -> AsyncGenerator[Sequence[StoryEntry], None]:
        await self.get(task_id)
        self.watchers += 1
        try:
            for entries in self.story:
                yield [entry for entry in entries if entry.seq >= from_seq]
            if self.goes_on:
                await asyncio.Event().wait()
        finally:
            self.watchers -= 1
            self.ring()


class StubWorkers:
    def __init__(self) -> None:
        self.others: list[WorkerView] = []
        self.view = WorkerView("w-1", WorkerInfo("host", "1.0"), WorkerStatus.BUSY, 1, 10, 5, 4)
        self.filters: list[tuple[str, WorkerStatus | None]] = []

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        self.filters.append((agent, status))
        return [view for view in (self.view, *self.others) if status in {None, view.status}]

    def worker(self, worker_id: str) -> WorkerView:
        for view in (self.view, *self.others):
            if view.id == worker_id:
                return view
        raise NotFound(f"There is no worker {worker_id}.")


class StubEnrollment:
    async def create_token(self, worker_id: str = "", ttl_ms: int = 0) -> BootstrapToken:
        if ttl_ms < 0:
            raise InvalidArgument("A token cannot end before it begins.")
        return BootstrapToken("token", worker_id or "w-9", ttl_ms)

    async def enroll(self, token: str, csr_pem: bytes) -> Enrollment:
        raise NotImplementedError


class StubCertificates:
    def __init__(self) -> None:
        self.renewed: list[tuple[Identity, bytes]] = []
        self.queries: list[CertificateQuery] = []
        self.revoked: list[str] = []
        self.pages = [CertificatePage((Certificate("a1", "worker:w-1", 1_000, 5_000, 3_000),))]

    async def renew(self, peer: Identity, csr_pem: bytes) -> bytes:
        self.renewed.append((peer, csr_pem))
        return b"certificate"

    async def find(self, query: CertificateQuery) -> CertificatePage:
        self.queries.append(query)
        return self.pages[len(self.queries) - 1]

    async def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        self.revoked.append(worker_id)
        return self.pages[0].certificates

    async def revoke_client(self, name: str) -> Sequence[Certificate]:
        self.revoked.append(name)
        return self.pages[0].certificates

    async def revoke_serial(self, serial: str) -> Sequence[Certificate]:
        self.revoked.append(serial)
        return []


def make_gate(certificates: CertificateStore | None = None, clock: Clock | None = None) -> Gate:
    """A gate of which nobody hears. Where nothing is revoked it need not be started."""
    telemetry = RecordingTelemetry()
    return Gate(certificates or MemoryCertificateStore(), clock or SystemClock(), telemetry, lambda worker_id: None)


class StubKeys:
    """Keeps what it was asked to make."""

    def __init__(self) -> None:
        self.made: dict[str, ApiKey] = {}

    async def create(self, name: str, role: Role, ttl_ms: int, created_by: str) -> NewApiKey:
        if ttl_ms < 0:
            raise InvalidArgument("A key cannot end before it begins.")
        self.made[name] = ApiKey(name, role, b"the digest", 1, 1 + ttl_ms, created_by)
        return NewApiKey("the text", self.made[name])

    async def list(self) -> Sequence[ApiKey]:
        return [*self.made.values()]

    async def revoke(self, name: str) -> ApiKey:
        if name not in self.made:
            raise NotFound("There is no API key of that name.")
        return replace(self.made[name], revoked_at_ms=7)

    async def authenticate(self, text: str) -> ApiKey:
        raise NotImplementedError
