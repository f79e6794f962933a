"""A client that answers from memory, in place of the one that goes over the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from taskrun.adapters.grpc.address import Address
from taskrun.domain.api_keys import ApiKey
from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.errors import NotFound, TaskRunError
from taskrun.domain.explanation import Ahead, Explanation
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.identity import Role
from taskrun.domain.records import (
    AgentSpec,
    ModelBackend,
    Run,
    StoryEntry,
    Task,
    TaskPage,
    TaskQuery,
    TaskSpec,
    Usage,
    WorkerInfo,
    WorkerView,
)
from taskrun.domain.status import RunStatus, TaskStatus, WorkerStatus
from taskrun.ports.api_keys import NewApiKey
from taskrun.ports.enrollment import BootstrapToken

TASK = Task("t-1", TaskSpec("general", '"hi"'), TaskStatus.PENDING, "admin", created_at_ms=1_000)
RUN = Run(
    "r-1",
    "w-1",
    RunStatus.COMPLETED,
    1,
    assigned_at_ms=1_000,
    started_at_ms=2_000,
    finished_at_ms=4_500,
    backend=ModelBackend("anthropic", "claude"),
    usage=Usage(7, 3, cost_usd=0.5),
)
WORKER = WorkerView(
    "w-1", WorkerInfo("host", "0.1", (AgentSpec("general"),), {"gpu": "yes"}), WorkerStatus.IDLE, 0, 10, 1_000, 1_000
)
EXPLANATION = Explanation(
    "t-1",
    TaskStatus.PENDING,
    "no worker that it could go to has a free slot",
    waits_since_ms=1_000,
    ahead=Ahead(3),
    workers=(
        WorkerFit("w-1", ("has no free slot: 4 of 4 runs",)),
        WorkerFit("w-2", ("lacks the label gpu=yes (it has gpu=no)", "is DRAINING"), fits=False),
    ),
    workers_looked_at=2,
)

KEY = ApiKey("ci", Role.SUBMIT, b"", 1_000, 5_000, "admin")


@dataclass
class StubClient:
    """Records what it is asked. Its `error`, if set, is every answer."""

    tasks: list[Task] = field(default_factory=list)
    story: list[StoryEntry | BaseException] = field(default_factory=list)
    error: TaskRunError | None = None
    asked: list[object] = field(default_factory=list)
    enroll_url: str = ""
    #: Why a task waits.
    explanation: Explanation = EXPLANATION  # it is frozen
    #: The task that will have the answer to a message.
    answer: Task = TASK  # it is frozen
    #: Where the last answer came from.
    address: Address = Address("localhost", 1)  # noqa: RUF009  # it is frozen
    issued: list[Certificate] = field(default_factory=list)
    #: The certificates that a revocation marks.
    marked: list[Certificate] = field(default_factory=list)
    #: Tasks that `find` gives at once.
    page: int = 1000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def create(self, specs: Sequence[TaskSpec]) -> list[Task | TaskRunError]:
        self._hear(*specs)
        return [replace(TASK, spec=spec) for spec in specs]

    def get(self, task_id: str) -> Task:
        self._hear(task_id)
        found = [task for task in self.tasks if task.id == task_id]
        if not found:
            raise NotFound(f"There is no task {task_id}.")
        return found[0]

    def find(self, query: TaskQuery) -> TaskPage:
        self._hear(query)
        begin = int(query.page_token or 0)
        end = begin + min(query.limit, self.page)
        return TaskPage(tuple(self.tasks[begin:end]), str(end) if end < len(self.tasks) else "")

    def explain(self, task_id: str) -> Explanation:
        self._hear(task_id)
        return self.explanation

    def cancel(self, task_id: str) -> Task:
        return self.get(task_id)

    def continue_task(self, task_id: str, message: str, *, fork: bool = False, idempotency_key: str = "") -> Task:
        self._hear((task_id, message, fork, idempotency_key))
        return self.answer

    def watch(self, task_id: str, from_seq: int = 0) -> Iterator[Sequence[StoryEntry]]:
        self._hear((task_id, from_seq))
        for entry in self.story:
            if isinstance(entry, BaseException):
                raise entry
            if entry.seq >= from_seq:
                yield [entry]

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        self._hear((agent, status))
        return [WORKER]

    def create_key(self, name: str, role: Role, ttl_ms: int = 0) -> NewApiKey:
        self._hear((name, role, ttl_ms))
        return NewApiKey("taskrunkey1_secret", replace(KEY, name=name, role=role))

    def keys(self) -> Sequence[ApiKey]:
        self._hear()
        return [KEY]

    def revoke_key(self, name: str) -> ApiKey:
        self._hear(name)
        return replace(KEY, revoked_at_ms=3_000)

    def create_token(self, worker_id: str = "", ttl_ms: int = 0) -> BootstrapToken:
        self._hear((worker_id, ttl_ms))
        return BootstrapToken("taskrun1_secret", worker_id or "made-up", 5_000, self.enroll_url)

    def certificates(self, owner: str = "") -> Sequence[Certificate]:
        self._hear(owner)
        return self.issued

    def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        self._hear(("worker", worker_id))
        return self.marked

    def revoke_client(self, name: str) -> Sequence[Certificate]:
        self._hear(("client", name))
        return self.marked

    def revoke_serial(self, serial: str) -> Sequence[Certificate]:
        self._hear(("serial", serial))
        return self.marked

    def _hear(self, *questions: object) -> None:
        if self.error:
            raise self.error
        self.asked += questions
