"""A run's output costs less than the bare stream would that carries each chunk in a message of its own.

Rates are for `make bench` and `test_output_pace.py`: other programs change them from one moment to the next. What both
ways cost in processor time, in one process and one after the other, they change alike.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc

from benchmarks import bare_server
from taskrun.adapters.agents.function import FunctionAgent
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.link import GrpcConnector
from taskrun.adapters.grpc.options import SERVER_OPTIONS
from taskrun.adapters.grpc.run_service import StreamTimers
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.records import OutputSegment, TaskSpec, WorkerInfo
from taskrun.domain.timers import ControlPlaneTimers, DaemonTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.daemon import Daemon
from taskrun.ports.agents import AgentRequest, AgentSink
from taskrun.testing.harness import RecordingTelemetry
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc
from tests.adapters.grpc.certificates import MiniCa, always
from tests.adapters.grpc.stubs import StubCertificates, StubEnrollment, StubKeys, make_gate

CHUNKS, ROUNDS = 2_000, 3
# How many chunks a program's output brings at one read. Each alone would leave it to the machine whether one waits for
# the one before it: where a message is away before the next chunk is there, a message for each is right.
AT_ONE_READ = 20


async def tell(request: AgentRequest, sink: AgentSink) -> None:
    """Read by read: after each the others have their turn."""
    for number in range(CHUNKS):
        await sink.text(f"{number:013};")
        if number % AT_ONE_READ == 0:
            await asyncio.sleep(0)


@asynccontextmanager
async def watched_runs(ca: MiniCa) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """What makes a run and watches it live, over mutual TLS from the worker to the watcher; it returns the chunks."""
    clock = SystemClock()
    plane = ControlPlane(MemoryStore(), clock, UuidV7Source(), RecordingTelemetry(), ControlPlaneTimers())
    tls = ca.server()
    parts = (plane, plane, plane, StubEnrollment(), StubCertificates(), make_gate())
    server = GrpcServer("[::1]:0", lambda: tls, parse_peer, *parts, StreamTimers(), SERVER_OPTIONS, keys=StubKeys())
    await plane.start()
    address = f"https://[::1]:{await server.start()}"
    agents = [FunctionAgent("tell", tell)]
    info = WorkerInfo("host", "1", tuple(agent.spec for agent in agents))
    daemon = Daemon(
        [GrpcConnector(address, always(ca.worker("w")))], agents, info, clock, DaemonTimers(), 1, random.random, "p"
    )
    working = asyncio.create_task(daemon.run())
    async with AsyncClient(address, ca.client()) as client:

        async def run() -> int:
            task = await client.create(TaskSpec("tell", "1"))
            bodies = [entry.body async for entries in client.watch(task.id) for entry in entries]
            return sum(len(body.contents) for body in bodies if isinstance(body, OutputSegment))

        yield run
    working.cancel()
    await asyncio.wait([working])
    await plane.stop()
    await server.stop(0)


@asynccontextmanager
async def bare_streams(ca: MiniCa) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """What reads as many messages of one chunk from a gRPC server that does nothing else; it returns their number."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("taskrun.v1.TaskService", bare_server.METHODS)]
    )
    own = ca.server()
    credentials = grpc.ssl_server_credentials([(own.key_pem, own.cert_pem)], own.ca_pem, require_client_auth=True)
    port = server.add_secure_port("[::1]:0", credentials)
    await server.start()
    tls = ca.client()
    identity = grpc.ssl_channel_credentials(tls.ca_pem, tls.key_pem, tls.cert_pem)
    async with grpc.aio.secure_channel(f"[::1]:{port}", identity) as channel:
        stub = tasks_grpc.TaskServiceStub(channel)

        async def run() -> int:
            return sum([1 async for _ in stub.WatchTask(tasks.WatchTaskRequest(from_seq=CHUNKS))])

        yield run
    await server.stop(0)


async def cheapest(run: Callable[[], Awaitable[int]]) -> float:
    """Seconds of this process's processor time, the least of several rounds, after one to get warm."""
    seconds = []
    for _ in range(1 + ROUNDS):
        began = time.process_time()
        assert await run() == CHUNKS
        seconds.append(time.process_time() - began)
    return min(seconds[1:])


async def test_a_run_of_2000_chunks_costs_less_than_as_many_bare_messages() -> None:
    ca = MiniCa()
    async with watched_runs(ca) as run, bare_streams(ca) as stream:
        told, bare = await cheapest(run), await cheapest(stream)
    # About a tenth. Where one of the two hops goes chunk by chunk it is twice as much.
    assert told < bare, f"{told:.3f} s for the run, {bare:.3f} s for as many bare messages"
