from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.run_service import StreamTimers
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.grpc.tls import ClientTls
from tests.adapters.grpc.certificates import MiniCa
from tests.adapters.grpc.stubs import StubEnrollment, StubGateway, StubTasks, StubWorkers


@dataclass
class Plane:
    """A served control plane of stubs."""

    ca: MiniCa
    timers: StreamTimers = field(default_factory=StreamTimers)
    tasks: StubTasks = field(default_factory=StubTasks)
    workers: StubWorkers = field(default_factory=StubWorkers)
    gateway: StubGateway = field(default_factory=StubGateway)
    enrollment: StubEnrollment = field(default_factory=StubEnrollment)
    port: int = 0

    @property
    def address(self) -> str:
        return f"https://[::1]:{self.port}"

    def server(self, address: str = "[::1]:0") -> GrpcServer:
        return GrpcServer(
            address,
            self.ca.server(),
            parse_peer,
            self.tasks,
            self.workers,
            self.gateway,
            self.enrollment,
            self.timers,
        )

    def client(self, tls: ClientTls | None = None) -> AsyncClient:
        return AsyncClient(self.address, tls or self.ca.client())

    async def serves_on(self) -> None:
        """A good call, after whatever was bad."""
        async with self.client() as client:
            assert [worker.id for worker in await client.workers()] == ["w-1"]


@pytest.fixture(scope="session")
def ca() -> MiniCa:
    return MiniCa()


@pytest.fixture
async def plane(ca: MiniCa, request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    """Served on a free port; after the test it must still serve."""
    plane = Plane(ca, getattr(request, "param", StreamTimers()))
    server = plane.server()
    plane.port = await server.start()
    yield plane
    await plane.serves_on()
    await server.stop(0)
