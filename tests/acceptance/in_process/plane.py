"""The driver for one process: time jumps, nothing listens, and the certificates are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.clients import create_client
from taskrun.adapters.ca.enroll_keys import checked_enrollment, new_key_and_csr
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.adapters.telemetry.metrics import PrometheusTelemetry
from taskrun.domain import tokens
from taskrun.domain.certificates.certificate import Certificate, CertificateQuery
from taskrun.domain.errors import TaskRunError
from taskrun.domain.explanation import Explanation
from taskrun.domain.identity import Identity, Role
from taskrun.domain.limits import checked_query, checked_spec
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.rights import check_right
from taskrun.domain.status import WorkerStatus
from taskrun.engine.certificates import Certificates
from taskrun.engine.enrollment import Enroller
from taskrun.engine.gate import Gate
from taskrun.ports.enrollment import BootstrapToken
from taskrun.testing.clock import JumpingClock
from taskrun.testing.harness import Harness
from tests.acceptance.driver import Caller, WorkerSetup
from tests.acceptance.in_process.agents import Company
from tests.acceptance.samples import samples

T = TypeVar("T")


class InProcessDriver:
    """Implements `Driver`. A context manager: what it started is gone after it."""

    def __init__(self, certs: Path, clock: JumpingClock) -> None:
        """`certs` holds what `taskrun init` makes, valid by this clock."""
        self._clock, self._certs = clock, certs
        self._company = Company()
        self._runner = asyncio.Runner()
        self._telemetry = PrometheusTelemetry(lambda: self._plane.engine.backlog(), clock.now)
        self._plane = Harness(clock=clock, telemetry=self._telemetry)
        authority = FileAuthority(certs / "ca.crt", certs / "ca.key", clock)
        store = MemoryCertificateStore()
        self._enroller = Enroller(authority, MemoryTokenStore(store), clock, UuidV7Source())
        self._gate = Gate(store, clock, self._telemetry, self._plane.engine.expel)
        self._certificates = Certificates(authority, store, clock, self._gate.learn)

    def __enter__(self) -> InProcessDriver:
        self._run(self._plane.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._plane.__aexit__(None, None, None))
            assert not self._company.executing, "An agent outlived its worker."
        finally:
            self._runner.close()

    def _run(self, work: Awaitable[T]) -> T:
        """The result, once everything that follows from it has happened too."""

        async def settled() -> T:
            result = await work
            await self._plane.settle()
            return result

        return self._runner.run(settled())

    # Enrolment.

    def create_token(self, worker_id: str, ttl_seconds: int) -> BootstrapToken:
        return self._run(self._enroller.create_token(worker_id, ttl_seconds * 1000))

    def enrol(self, token: str) -> str:
        key_pem, csr_pem = new_key_and_csr()
        answer = self._run(self._enroller.enroll(token, csr_pem))
        now = datetime.fromtimestamp(self._clock.now().utc_ms / 1000, UTC)
        enrolled = checked_enrollment(answer, tokens.split(token)[1], key_pem, now)
        return parse_peer(enrolled.certificate_pem).name

    def enrol_malformed(self, token: str) -> None:
        self._run(self._enroller.enroll(token, b"-----BEGIN CERTIFICATE REQUEST-----\nnonsense\n"))

    def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        return self._run(self._certificates.revoke_worker(worker_id))

    # Clients.

    def client(self, name: str, role: str) -> Caller:
        now = datetime.fromtimestamp(self._clock.now().utc_ms / 1000, UTC)
        with TemporaryDirectory() as directory:
            create_client(self._certs, Path(directory), name, Role(role), timedelta(days=1), now=now)
            identity = parse_peer((Path(directory) / "client.crt").read_bytes())
        return InProcessCaller(self, identity)

    def revoke_client(self, name: str) -> None:
        self._run(self._certificates.revoke_client(name))

    def must_be_allowed(self, peer: Identity, method: str) -> None:
        """As the gRPC port asks before a call."""
        self._gate.admit(peer)
        check_right(peer.role, f"/taskrun.v1.{method}")

    def certificates(self) -> Sequence[Certificate]:
        """Those that are recorded."""
        return self._run(self._certificates.find(CertificateQuery())).certificates

    # Workers.

    def start_worker(self, worker_id: str, setup: WorkerSetup) -> None:
        agents = self._company.agents(setup.agents)
        slots = {} if setup.slots is None else {"max_concurrent_runs": setup.slots}
        self._run(self._plane.start_worker(worker_id, agents, labels=setup.labels, **slots))

    def drain_worker(self, worker_id: str) -> None:
        self._plane.workers[worker_id].daemon.drain()
        self.pass_time(0)

    def kill_worker(self, worker_id: str) -> None:
        self._run(self._plane.kill_worker(worker_id))

    def cut_worker(self, worker_id: str) -> None:
        self._run(self._plane.workers[worker_id].line.cut())

    def freeze_worker(self, worker_id: str) -> None:
        self._plane.workers[worker_id].line.freeze()

    def thaw_worker(self, worker_id: str) -> None:
        self._plane.workers[worker_id].line.thaw()

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        return self._plane.engine.workers(agent, status)

    # Tasks.

    def create(self, spec: TaskSpec, by: str = "somebody") -> Task:
        [answer] = self._run(self._plane.engine.create([checked_spec(spec)], by))
        if isinstance(answer, TaskRunError):
            raise answer
        return answer

    def get(self, task_id: str) -> Task:
        return self._run(self._plane.engine.get(task_id))

    def find(self, query: TaskQuery) -> TaskPage:
        return self._run(self._plane.engine.find(checked_query(query)))

    def explain(self, task_id: str) -> Explanation:
        return self._run(self._plane.engine.explain(task_id))

    def cancel(self, task_id: str) -> Task:
        return self._run(self._plane.engine.cancel(task_id))

    def continue_task(self, task_id: str, message: str, *, fork: bool = False, by: str = "somebody") -> Task:
        return self._run(self._plane.engine.continue_task(task_id, message, by, fork=fork))

    def watch(self, task_id: str, from_seq: int = 0) -> Generator[Sequence[StoryEntry], None, None]:
        story = self._plane.engine.watch(task_id, from_seq)
        assert isinstance(story, AsyncGenerator)
        try:
            while entries := self._run(anext(story, None)):
                yield entries
        finally:
            self._run(story.aclose())

    def finish(self, title: str) -> None:
        self._company.finish(title)
        self.pass_time(0)

    def is_waiting(self, title: str) -> bool:
        return self._company.is_waiting(title)

    def is_executing(self, run_id: str) -> bool:
        return run_id in self._company.executing

    # The rest of the world.

    def metrics(self) -> Mapping[str, float]:
        return samples(self._run(self._telemetry.render()).decode())

    def pass_time(self, seconds: float) -> None:
        self._run(self._clock.advance(seconds))

    def moments(self, seconds: float) -> Iterator[None]:
        yield
        for _ in range(round(seconds)):
            self.pass_time(1)
            yield


class InProcessCaller:
    """Implements `Caller`: asked as the gRPC port would ask whoever shows this certificate."""

    def __init__(self, driver: InProcessDriver, peer: Identity) -> None:
        self._driver, self._peer = driver, peer

    def _allowed(self, method: str) -> InProcessDriver:
        self._driver.must_be_allowed(self._peer, method)
        return self._driver

    def create(self, spec: TaskSpec) -> Task:
        return self._allowed("TaskService/CreateTask").create(spec, self._peer.name)

    def get(self, task_id: str) -> Task:
        return self._allowed("TaskService/GetTask").get(task_id)

    def cancel(self, task_id: str) -> Task:
        return self._allowed("TaskService/CancelTask").cancel(task_id)

    def continue_task(self, task_id: str, message: str) -> Task:
        return self._allowed("TaskService/ContinueTask").continue_task(task_id, message, by=self._peer.name)

    def create_token(self, worker_id: str) -> BootstrapToken:
        return self._allowed("WorkerService/CreateBootstrapToken").create_token(worker_id, 0)

    def certificates(self) -> Sequence[Certificate]:
        return self._allowed("CertificateService/ListCertificates").certificates()

    def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        return self._allowed("CertificateService/RevokeCertificates").revoke_worker(worker_id)
