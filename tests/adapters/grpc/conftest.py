from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from loguru import logger

from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.options import SERVER_OPTIONS, Options
from taskrun.adapters.grpc.run_service import StreamTimers
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.grpc.tls import ClientTls, ServerTls
from taskrun.domain.identity import Identity
from taskrun.engine.gate import Gate
from tests.adapters.grpc.certificates import MiniCa
from tests.adapters.grpc.stubs import (
    StubCertificates,
    StubEnrollment,
    StubGateway,
    StubKeys,
    StubTasks,
    StubWorkers,
    make_gate,
)


@dataclass
class Plane:
    """A served control plane of stubs."""

    ca: MiniCa
    timers: StreamTimers = field(default_factory=StreamTimers)
    tasks: StubTasks = field(default_factory=StubTasks)
    workers: StubWorkers = field(default_factory=StubWorkers)
    gateway: StubGateway = field(default_factory=StubGateway)
    enrollment: StubEnrollment = field(default_factory=StubEnrollment)
    certificates: StubCertificates = field(default_factory=StubCertificates)
    gate: Gate = field(default_factory=make_gate)
    #: What the server shows.
    tls: ServerTls = field(init=False)
    identify: Callable[[bytes], Identity] = parse_peer
    keys: StubKeys = field(default_factory=StubKeys)
    port: int = 0

    def __post_init__(self) -> None:
        self.tls = self.ca.server()

    @property
    def address(self) -> str:
        return f"https://[::1]:{self.port}"

    def server(self, address: str = "[::1]:0", options: Options = SERVER_OPTIONS) -> GrpcServer:
        return GrpcServer(
            address,
            lambda: self.tls,
            self.identify,
            self.tasks,
            self.workers,
            self.gateway,
            self.enrollment,
            self.certificates,
            self.gate,
            self.timers,
            options,
            keys=self.keys,
        )

    def client(self, tls: ClientTls | None = None) -> AsyncClient:
        return AsyncClient(self.address, tls or self.ca.client())

    async def serves_on(self) -> None:
        """A good call, after whatever was bad."""
        async with self.client() as client:
            assert (await client.worker("w-1")).id == "w-1"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged while the test runs."""
    written: list[str] = []
    sink = logger.add(written.append, format="{level} {extra} {message}")
    yield written
    logger.remove(sink)


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
