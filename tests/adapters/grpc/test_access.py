"""Who may call what: by the certificate alone, and nothing that the table does not name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2

from taskrun import v1
from taskrun.adapters.grpc.access import Guard
from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.channel import open_channel
from taskrun.adapters.grpc.run_service import RunService, StreamTimers
from taskrun.adapters.grpc.server import HealthService
from taskrun.adapters.grpc.task_service import TaskService
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.domain.certificates.certificate import Revocation
from taskrun.domain.identity import CLIENT_ROLES, Identity, Role
from taskrun.domain.records import StoryEntry, TaskChange, TaskSpec
from taskrun.domain.rights import METHODS
from taskrun.domain.status import TaskStatus
from taskrun.testing.clock import JumpingClock
from taskrun.v1 import task_service_pb2
from tests.adapters.grpc.conftest import Plane
from tests.adapters.grpc.raw import status, stream
from tests.adapters.grpc.stubs import StubGateway, StubTasks, make_gate

#: It lets in whoever has a certificate.
AT_0 = make_gate(clock=JumpingClock(utc_ms=0))

#: All there are: a new one has to be in the table without being named here.
FILES: list[Any] = [
    *(import_module(f"taskrun.v1.{name}") for _, name, _ in iter_modules(v1.__path__) if name.endswith("_pb2")),
    health_pb2,
]
DESCRIPTORS: list[ServiceDescriptor] = [
    service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()
]
EVERY = {f"/{service.full_name}/{method.name}": method for service in DESCRIPTORS for method in service.methods}
UNARY = [name for name, method in EVERY.items() if Role.WORKER not in METHODS[name] and not method.server_streaming]
#: Those that can have a certificate.
ROLES = [Role.WORKER, *CLIENT_ROLES]


def test_the_table_names_every_method_of_every_service_and_no_other() -> None:
    assert EVERY.keys() == METHODS.keys()


def test_the_server_offers_what_the_table_names_and_nothing_else(plane: Plane) -> None:
    offered = {f"/{service}/{name}" for service, methods in plane.server()._services.items() for name in methods}
    assert offered == {method for method in METHODS if not method.startswith("/grpc.health")}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_call_over_tls_what_the_table_says_and_nothing_else(
    plane: Plane, role: Role, method: str
) -> None:
    code = await ask_for(plane, plane.ca.of(role), method)
    assert (code is not grpc.StatusCode.PERMISSION_DENIED) is (role in METHODS[method])


async def ask_for(plane: Plane, tls: ClientTls, method: str) -> grpc.StatusCode:
    """How a call of any kind ends; OK once something was answered."""
    if EVERY[method].client_streaming:
        async with stream(plane.address, tls) as opened:
            # Nothing is said: a write that fails because the call was refused has a status of its own in its place.
            await opened.done_writing()
            return (await status(opened))[0]
    if not EVERY[method].server_streaming:
        return await call(plane, tls, method)
    async with open_channel(parse_address(plane.address), tls) as channel:
        ask: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)
        answers = ask(b"", timeout=30)
        try:
            await answers.read()
        except grpc.aio.AioRpcError as error:
            return error.code()
        answers.cancel()
        return grpc.StatusCode.OK


async def call(plane: Plane, tls: ClientTls, method: str, request: bytes = b"") -> grpc.StatusCode:
    async with open_channel(parse_address(plane.address), tls) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            await ask(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", UNARY)
async def test_a_workers_certificate_calls_none_of_the_clients_methods(plane: Plane, method: str) -> None:
    assert await call(plane, plane.ca.worker(), method) is grpc.StatusCode.PERMISSION_DENIED
    assert not plane.tasks.created


async def test_who_was_refused_is_logged(plane: Plane, lines: list[str]) -> None:
    method = "/taskrun.v1.TaskService/GetTask"
    await call(plane, plane.ca.worker("w-7"), method)
    says = f"refused a call of {method}: The role worker does not allow {method}."
    assert lines == [f"WARNING {{'role': 'worker', 'caller': 'w-7'}} {says}\n"]


async def test_a_clients_certificate_opens_no_run_stream(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.client()) as opened:
        code, details = await status(opened)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert details == "The role admin does not allow /taskrun.v1.RunService/StreamConnect."
    assert not plane.gateway.sessions


@pytest.mark.parametrize(
    "common_name", ["worker:w-1\x00.evil", "nobody", "admin:me", "worker:", "worker:é", "client:a b", "worker:a:b"]
)
async def test_a_certificate_with_a_crooked_name_is_nobodys(plane: Plane, common_name: str) -> None:
    tls = plane.ca.client(common_name)
    async with stream(plane.address, tls) as opened:
        assert (await status(opened))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert await call(plane, tls, UNARY[0]) is grpc.StatusCode.UNAUTHENTICATED
    assert not plane.gateway.sessions


@pytest.mark.parametrize("role", ["worker:w-1", "client:admin"])
async def test_both_roles_may_ask_for_the_servers_health(plane: Plane, role: str) -> None:
    assert await call(plane, plane.ca.client(role), "/grpc.health.v1.Health/Check") is grpc.StatusCode.OK


async def test_a_method_that_is_not_there_is_unimplemented(plane: Plane) -> None:
    assert await call(plane, plane.ca.client(), "/taskrun.v1.TaskService/DropTasks") is grpc.StatusCode.UNIMPLEMENTED


async def test_a_request_that_cannot_be_read_is_refused(plane: Plane) -> None:
    method = "/taskrun.v1.TaskService/CreateTask"
    assert await call(plane, plane.ca.client(), method, b"\x0a\xff\xff") is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_call_without_a_certificate_does_not_get_through(plane: Plane) -> None:
    credentials = grpc.ssl_channel_credentials(plane.ca.pem)
    async with grpc.aio.secure_channel(parse_address(plane.address).target, credentials) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(UNARY[0])
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await ask(b"", timeout=30)
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_expired_certificate_does_not_get_through(plane: Plane) -> None:
    tls = plane.ca.client(lasts=timedelta(seconds=-1))
    assert await call(plane, tls, UNARY[0]) is grpc.StatusCode.UNAVAILABLE


# The guard by itself.


class FakeContext:
    """What the guard uses of a call."""

    def __init__(self, pems: list[bytes]) -> None:
        self._auth = {"x509_pem_cert": pems} if pems else {}
        self.ended: tuple[grpc.StatusCode, str] | None = None
        self.sent: list[bytes | None] = []

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._auth

    async def send_initial_metadata(self, metadata: object) -> None:
        self.sent.append(None)

    async def write(self, message: bytes) -> None:
        self.sent.append(message)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: object = ()) -> None:
        self.ended = code, details


async def guarded(guard: Guard, method: str) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(request: bytes, context: object) -> bytes:
        return b"answer"

    async def find(details: object) -> Any:
        return grpc.unary_unary_rpc_method_handler(answer)

    details: Any = SimpleNamespace(method=method)
    handler: Any = await guard.intercept_service(find, details)
    found: Callable[[Any, Any], Awaitable[Any]] = handler.unary_unary
    return found


@pytest.mark.parametrize("method", ["/taskrun.v1.TaskService/Forgotten", "/other.Service/Method", ""])
@pytest.mark.parametrize("role", ROLES)
async def test_what_the_table_does_not_name_is_denied_although_it_is_served(role: Role, method: str) -> None:
    guard = Guard(lambda pem: Identity(role, "me", 10, "1"), AT_0)
    context = FakeContext([b"pem"])
    await (await guarded(guard, method))(b"", context)
    assert context.ended is not None
    assert context.ended[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_a_certificate_that_expired_on_a_live_connection_is_refused() -> None:
    clock = JumpingClock(utc_ms=9)
    guard = Guard(lambda pem: Identity(Role.ADMIN, "me", 10, "1"), make_gate(clock=clock))
    ask = await guarded(guard, "/taskrun.v1.TaskService/GetTask")
    context = FakeContext([b"pem"])
    assert await ask(b"", context) == b"answer"
    await clock.advance(0.001)
    await ask(b"", context)
    assert context.ended == (grpc.StatusCode.UNAUTHENTICATED, "The client certificate has expired.")


async def test_a_revoked_certificate_calls_nothing() -> None:
    certificates = MemoryCertificateStore()
    await certificates.revoke(Revocation(1, serial="1"))
    gate = make_gate(certificates)
    await gate.learn()
    guard = Guard(lambda pem: Identity(Role.ADMIN, "me", 2**50, "1"), gate)
    context = FakeContext([b"pem"])
    await (await guarded(guard, "/taskrun.v1.TaskService/GetTask"))(b"", context)
    assert context.ended == (grpc.StatusCode.UNAUTHENTICATED, "The client certificate was revoked.")


async def test_a_call_that_somehow_has_no_certificate_is_refused() -> None:
    guard = Guard(lambda pem: Identity(Role.ADMIN, "me", 10, "1"), AT_0)
    context = FakeContext([])
    await (await guarded(guard, "/taskrun.v1.TaskService/GetTask"))(b"", context)
    assert context.ended is not None
    assert context.ended[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_a_certificate_is_parsed_once() -> None:
    parsed: list[bytes] = []

    def identify(pem: bytes) -> Identity:
        parsed.append(pem)
        return Identity(Role.ADMIN, "me", 10, "1")

    ask = await guarded(Guard(identify, AT_0), "/taskrun.v1.TaskService/GetTask")
    for pem in (b"one", b"one", b"two", b"one"):
        await ask(b"", FakeContext([pem]))
    assert parsed == [b"one", b"two"]


class HangsUp(FakeContext):
    """Says nothing, and ends the call with the first message it gets."""

    async def read(self) -> Any:
        return grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        await super().write(message)
        raise grpc.aio.AbortError


NEW_TASK = task_service_pb2.CreateTaskRequest(agent_name="general", input_json="1")
STREAMS: dict[str, tuple[Role, bytes, int]] = {
    "RunService/StreamConnect": (Role.WORKER, b"", 0),
    "TaskService/WatchTask": (Role.ADMIN, task_service_pb2.WatchTaskRequest(id="t-0").SerializeToString(), 1),
    "TaskService/CreateAndWatchTask": (Role.ADMIN, NEW_TASK.SerializeToString(), 1),
}


@pytest.mark.parametrize("method", STREAMS)
async def test_a_stream_begins_before_its_first_message_so_that_it_can_end_in_the_middle_of_it(method: str) -> None:
    role, request, messages = STREAMS[method]
    tasks = StubTasks()
    await tasks.create([TaskSpec("general", "1")], "admin")
    tasks.story = [[StoryEntry(0, 5, TaskChange(TaskStatus.PENDING))]]
    handlers = {**TaskService(tasks).handlers(), **RunService(StubGateway(), StreamTimers()).handlers()}

    async def find(details: object) -> Any:
        return handlers[method.partition("/")[2]]

    guard = Guard(lambda pem: Identity(role, "me", 10_000, "1"), AT_0)
    details: Any = SimpleNamespace(method=f"/taskrun.v1.{method}")
    handler: Any = await guard.intercept_service(find, details)
    context = HangsUp([b"pem"])
    with suppress(grpc.aio.AbortError):
        await (handler.unary_stream or handler.stream_stream)(request, context)
    assert context.sent[:1] == [None]
    assert len(context.sent) == 1 + messages


async def test_a_health_watch_begins_before_its_first_message_too() -> None:
    context: Any = HangsUp([b"pem"])
    with pytest.raises(grpc.aio.AbortError):
        await HealthService().Watch(health_pb2.HealthCheckRequest(), context)
    assert context.sent == [None, health_pb2.HealthCheckResponse(status="SERVING")]
