"""Why there is no connection, in one sentence that helps."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.grpc.unreachable import failure
from taskrun.domain.errors import TaskRunError, Unauthenticated, Unavailable
from tests.adapters.grpc.certificates import MiniCa
from tests.adapters.grpc.conftest import Plane

STRANGER = MiniCa()

CASES: dict[str, tuple[Callable[[MiniCa], ClientTls], type[TaskRunError], str]] = {
    "server of another CA": (
        lambda ca: replace(ca.client(), ca_pem=STRANGER.pem),
        Unavailable,
        "its certificate was not signed by the CA that is expected here",
    ),
    "client of another CA": (
        lambda ca: replace(STRANGER.client(), ca_pem=ca.pem),
        Unavailable,
        "it closed the connection, as it does when it does not accept a certificate",
    ),
    "expired": (lambda ca: ca.client(lasts=timedelta(seconds=-1)), Unauthenticated, "The certificate expired on"),
    "not yet valid": (lambda ca: ca.client(age=timedelta(minutes=-10)), Unavailable, "The certificate is valid from"),
    "key of no use": (
        lambda ca: replace(ca.client(), key_pem=b"no key"),
        Unavailable,
        "the certificate, key or CA given here cannot be used",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_connection_that_is_refused_says_why(plane: Plane, case: str) -> None:
    tls, kind, why = CASES[case]
    async with plane.client(tls(plane.ca)) as client:
        with pytest.raises(kind, match=why):
            await client.workers()


async def test_the_servers_real_name_is_checked(ca: MiniCa) -> None:
    plane = Plane(ca)
    plane.tls = ca.server("control.example.com")
    server = plane.server()
    plane.port = await server.start()
    async with plane.client() as client:
        with pytest.raises(Unavailable, match="its certificate is for another name"):
            await client.workers()
    await server.stop(0)


@pytest.fixture
async def plain_port() -> AsyncIterator[int]:
    """Something that listens, and is no control plane."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "::1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def test_a_port_that_speaks_something_else_is_named(ca: MiniCa, plain_port: int) -> None:
    async with AsyncClient(f"[::1]:{plain_port}", ca.client()) as client:
        with pytest.raises(Unavailable, match="what listens there does not speak TLS"):
            await client.workers()


async def test_a_port_with_tls_that_is_no_grpc_is_named(ca: MiniCa, tmp_path: Path) -> None:
    """Such as the control plane's own HTTP port."""
    shown, pem = ca.server(), tmp_path / "server.pem"
    pem.write_bytes(shown.cert_pem + shown.key_pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "::1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"[::1]:{port}", ca.client()) as client:
            with pytest.raises(Unavailable, match="does not speak gRPC: is it the HTTP address"):
                await client.workers()


async def test_a_port_where_nobody_listens_is_named(ca: MiniCa) -> None:
    async with AsyncClient("[::1]:1", ca.client()) as client:
        with pytest.raises(Unavailable, match=r"^Cannot reach https://\[::1\]:1: nothing listens there\.$"):
            await client.workers()


class Stranger(Exception):
    """An `RpcError`, as far as it is looked at."""

    def __init__(self, details: str) -> None:
        super().__init__(details)

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return str(self)

    def trailing_metadata(self) -> None:
        return None


@pytest.mark.parametrize("details", ["Socket closed", "recvmsg:Connection reset by peer", "Broken pipe"])
def test_a_connection_that_was_accepted_was_not_refused_for_its_certificate(ca: MiniCa, details: str) -> None:
    address, pem = parse_address("[::1]:1"), ca.client().cert_pem
    assert "certificate" in failure(Stranger(details), address, pem).error.message
    said = failure(Stranger(details), address, pem, accepted=True).error.message
    assert said == "Lost https://[::1]:1: the connection broke."
