"""The server's edges: addresses, foreign bytes, sizes, and its end."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from tempfile import NamedTemporaryFile
from typing import NoReturn

import grpc
import pytest
from grpc_health.v1 import health_pb2

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.channel import open_channel
from taskrun.adapters.grpc.options import SERVER_OPTIONS
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, Unavailable
from taskrun.domain.records import TaskSpec
from tests.adapters.grpc.certificates import MiniCa
from tests.adapters.grpc.conftest import Plane
from tests.adapters.grpc.raw import heard, hello, status, stream


def never(pem: bytes) -> NoReturn:
    raise AssertionError


SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def started(ca: MiniCa) -> AsyncIterator[tuple[Plane, GrpcServer]]:
    plane = Plane(ca)
    server = plane.server()
    plane.port = await server.start()
    yield plane, server
    await server.stop(0)


async def test_a_second_server_on_the_same_port_is_refused_in_one_clear_sentence(plane: Plane) -> None:
    with pytest.raises(Unavailable) as refusal:
        await plane.server(f"[::1]:{plane.port}").start()
    assert refusal.value.message == f"Cannot listen on {plane.address}: Address already in use."


async def test_an_address_of_another_machine_is_refused(ca: MiniCa) -> None:
    with pytest.raises(Unavailable, match=r"Cannot listen on https://192\.0\.2\.1:0: "):
        await Plane(ca).server("192.0.2.1:0").start()


async def test_an_address_without_tls_is_refused(ca: MiniCa) -> None:
    with pytest.raises(InvalidArgument, match="without TLS"):
        Plane(ca).server("http://[::1]:0")


async def test_a_certificate_of_no_use_is_refused(ca: MiniCa) -> None:
    plane = Plane(ca)
    plane.tls = replace(plane.tls, key_pem=b"no key")
    with pytest.raises(FailedPrecondition, match="with this certificate, key and CA"):
        await plane.server().start()


async def test_a_new_certificate_is_shown_to_whoever_connects_next_and_breaks_no_stream(plane: Plane) -> None:
    first, second = plane.tls, plane.ca.server()
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        shown = []
        for plane.tls in (first, second, second, first):
            pem = await asyncio.to_thread(shown_on, plane.port, plane.ca.client())
            shown.append([tls for tls in (first, second) if tls.cert_pem.decode() == pem])
            await plane.serves_on()
        assert shown == [[first], [second], [second], [first]]
        assert not plane.gateway.sessions[1].over


def shown_on(port: int, tls: ClientTls) -> str:
    """The certificate with which a server ends a handshake, as PEM."""
    context = ssl.create_default_context(cadata=tls.ca_pem.decode())
    context.set_alpn_protocols(["h2"])
    with NamedTemporaryFile() as file:
        file.write(tls.cert_pem + tls.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    with socket.create_connection(("::1", port)) as plain, context.wrap_socket(plain, server_hostname="::1") as wrapped:
        return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(binary_form=True) or b"")


async def test_random_bytes_on_the_port_change_nothing(plane: Plane) -> None:
    for data in (
        os.urandom(4096),
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\xff\xff",
    ):
        reader, writer = await asyncio.open_connection("::1", plane.port)
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(30):
            try:
                await reader.read()
            except ConnectionError:
                pass
        writer.close()
    await plane.serves_on()


async def test_who_connects_and_says_nothing_is_cut(ca: MiniCa) -> None:
    name = "grpc.server_handshake_timeout_ms"
    assert dict(SERVER_OPTIONS)[name] == 10_000
    server = Plane(ca).server(options=tuple({**dict(SERVER_OPTIONS), name: 300}.items()))
    reader, writer = await asyncio.open_connection("::1", await server.start())
    # Without that option it would take two minutes.
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    await server.stop(0)


async def test_a_request_of_5_mib_is_refused(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), os.urandom(5 * 1024 * 1024)) as call:
        assert (await status(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_beyond_its_limit_is_refused(plane: Plane) -> None:
    async with open_channel(parse_address(plane.address), plane.ca.client()) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/taskrun.v1.WorkerService/ListWorkers"
        )
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await ask(b"", metadata=(("padding", "x" * 20_000),), timeout=30)
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def health(plane: Plane, service: str = "") -> int:
    async with open_channel(parse_address(plane.address), plane.ca.client()) as channel:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = await check(health_pb2.HealthCheckRequest(service=service).SerializeToString(), timeout=30)
    return int(health_pb2.HealthCheckResponse.FromString(answer).status)


@pytest.mark.parametrize("service", ["", "taskrun.v1.TaskService", "taskrun.v1.RunService", "taskrun.v1.WorkerService"])
async def test_health_says_serving_until_the_server_drains(started: tuple[Plane, GrpcServer], service: str) -> None:
    plane, server = started
    assert await health(plane, service) == SERVING
    await server.drain()
    assert await health(plane, service) == NOT_SERVING
    async with plane.client() as client:
        await client.create(TaskSpec("general", "1"))


async def test_stop_ends_what_is_under_way_and_frees_the_port(started: tuple[Plane, GrpcServer]) -> None:
    plane, server = started
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        await server.stop(0.1)
        await server.stop(0.1)
        assert (await status(call))[0] is grpc.StatusCode.UNAVAILABLE
    await plane.gateway.until(lambda: plane.gateway.sessions[1].over)
    socket.create_server(("::1", plane.port), family=socket.AF_INET6).close()


async def test_a_server_that_was_stopped_has_ended(ca: MiniCa) -> None:
    server = Plane(ca).server()
    await server.start()
    end = asyncio.create_task(server.ended())
    await asyncio.sleep(0)
    await server.stop(0)
    await end


async def test_a_server_that_ends_by_itself_says_so(ca: MiniCa) -> None:
    server = Plane(ca).server()
    await server.start()
    assert server._server is not None
    await server._server.stop(0)
    with pytest.raises(Unavailable, match="ended by itself"):
        await server.ended()


async def test_who_no_longer_waits_for_its_end_does_not_hold_up_its_stop(ca: MiniCa) -> None:
    server = Plane(ca).server()
    await server.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await server.ended()
    await server.stop(0)
