"""The HTTP surface as it is served: the real server on a port of its own, over stubs of the ports behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from taskrun.adapters.http.app import create_app
from taskrun.adapters.http.server import HttpServer
from taskrun.domain.api_keys import ApiKey
from taskrun.domain.errors import NotFound, Unauthenticated
from taskrun.domain.identity import CLIENT_ROLES, Role
from taskrun.domain.now import Now
from taskrun.domain.records import AgentSpec, ModelBackend, WorkerInfo, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.api_keys import NewApiKey
from taskrun.ports.enrollment import BootstrapToken, Enrollment

NOW_MS = 1_700_000_000_000
GOOD = {"token": "the token", "csr_pem": "the request"}


def worker_view(
    worker_id: str = "w-1",
    *,
    info: WorkerInfo | None = None,
    status: WorkerStatus = WorkerStatus.IDLE,
    active_runs: int = 0,
    slots: int = 10,
    heartbeat_age_ms: int | None = 4_000,
) -> WorkerView:
    backend = ModelBackend("anthropic", "claude-sonnet-4-5", 200_000, True, ("text",), ("Bash",), {"tier": "2"})
    info = info or WorkerInfo("host-1", "0.1.0", (AgentSpec("general", "Answers", {}, (backend,)),), {"zone": "fra"})
    heartbeat = 0 if heartbeat_age_ms is None else NOW_MS - heartbeat_age_ms
    return WorkerView(worker_id, info, status, active_runs, slots, heartbeat, NOW_MS - 60_000)


class Workers:
    """A `WorkerApi` that shows `views`, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.views: list[WorkerView] = []
        self.asked: list[tuple[str, WorkerStatus | None]] = []
        self.broken = False

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        if self.broken:
            raise RuntimeError("/etc/secret is wrong")
        self.asked.append((agent, status))
        return self.views

    def worker(self, worker_id: str) -> WorkerView:
        raise NotFound(worker_id)


class Desk:
    """An `EnrollmentApi` that raises `refusal`, or enrols; it keeps what it was asked."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.asked: list[tuple[str, bytes]] = []

    async def create_token(self, worker_id: str = "", ttl_ms: int = 0) -> BootstrapToken:
        raise NotImplementedError

    async def enroll(self, token: str, csr_pem: bytes) -> Enrollment:
        self.asked.append((token, csr_pem))
        if self.refusal is not None:
            raise self.refusal
        return Enrollment("w-1", b"the certificate", b"the CA")


class Keys:
    """An `ApiKeys` with one good key for each role: `the <role> key`."""

    async def authenticate(self, text: str) -> ApiKey:
        for role in CLIENT_ROLES:
            if text == f"the {role.value} key":
                return ApiKey(f"a {role.value} program", role, b"", 1, 2)
        raise Unauthenticated("It was /etc/secret.")

    async def create(self, name: str, role: Role, ttl_ms: int, created_by: str) -> NewApiKey:
        raise NotImplementedError

    async def list(self) -> Sequence[ApiKey]:
        raise NotImplementedError

    async def revoke(self, name: str) -> ApiKey:
        raise NotImplementedError


@dataclass
class Surface:
    """A running HTTP server and what stands behind it. `seconds` is its monotonic clock."""

    workers: Workers = field(default_factory=Workers)
    desk: Desk = field(default_factory=Desk)
    keys: Keys = field(default_factory=Keys)
    stranger: Role = Role.READ
    ready: bool = True
    draining: bool = False
    seconds: float = 1000.0
    scheme: str = "http"
    port: int = 0
    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(verify=False))

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def now(self) -> Now:
        return Now(self.seconds, NOW_MS)

    async def metrics(self) -> bytes:
        return b"taskrun_tasks_total 1\n"

    def renew(self) -> None:
        self.workers.views, self.workers.broken = [], False
        self.desk.refusal = None
        self.ready, self.draining = True, False
        self.workers.asked.clear()
        self.desk.asked.clear()
        # What failed in an earlier test is forgiven by now.
        self.seconds += 86_400

    def app(self) -> Starlette:
        return create_app(
            self.workers,
            self.desk,
            lambda: self.ready,
            self.metrics,
            ["control.example.com"],
            draining=lambda: self.draining,
            keys=self.keys,
            stranger=self.stranger,
            now=self.now,
            grpc_addr=lambda asked: f"https://{asked}:1",
        )

    def server(self, port: int = 0) -> HttpServer:
        return HttpServer(self.app(), "127.0.0.1", port)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(self.url + path, headers=headers)

    async def enroll(self, body: object = GOOD, **headers: str) -> httpx.Response:
        return await self.client.post(self.url + "/v1/enroll", json=body, headers=headers)

    async def enroll_raw(self, content: bytes, kind: str = "application/json") -> httpx.Response:
        return await self.client.post(self.url + "/v1/enroll", content=content, headers={"Content-Type": kind})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Surface]:
    """One server for all tests of a module: stopping one takes its time."""
    surface = Surface()
    server = surface.server()
    surface.port = await server.start()
    async with surface.client:
        yield surface
    await server.stop()


@pytest.fixture
def surface(served: Surface) -> Surface:
    """The server as if it were new."""
    served.renew()
    return served
