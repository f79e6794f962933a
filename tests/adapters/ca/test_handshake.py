"""The certificates do their work: real handshakes, by OpenSSL and by gRPC."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.disk import create_all
from taskrun.adapters.ca.enroll_keys import new_key_and_csr
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain.identity import Role


@pytest.fixture(scope="module")
def enrolled(certs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as a worker has it after its enrolment."""
    directory = tmp_path_factory.mktemp("enrolled")
    key, csr = new_key_and_csr()
    issued = FileAuthority(certs / "ca.crt", certs / "ca.key", SystemClock()).sign_worker(csr, "w-1")
    create_all(
        directory, {"worker.key": key, "worker.crt": issued.certificate_pem, "ca.crt": (certs / "ca.crt").read_bytes()}
    )
    return directory


def openssl_handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> None:
    """Shakes hands in memory. Raises `ssl.SSLError` when either side refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass


def context(purpose: ssl.Purpose, directory: Path, name: str) -> ssl.SSLContext:
    made = ssl.create_default_context(purpose, cafile=directory / "ca.crt")
    made.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


@pytest.mark.parametrize("host", ["localhost", "control.example.com", "127.0.0.1", "::1", "192.0.2.7"])
@pytest.mark.parametrize("name", ["worker", "client"])
def test_openssl_in_its_strictest_mode_follows_the_chains(certs: Path, name: str, host: str) -> None:
    server, client = context(ssl.Purpose.CLIENT_AUTH, certs, "server"), context(ssl.Purpose.SERVER_AUTH, certs, name)
    openssl_handshake(server, client, host)


def test_openssl_follows_the_chain_of_an_enrolled_worker(certs: Path, enrolled: Path) -> None:
    server = context(ssl.Purpose.CLIENT_AUTH, certs, "server")
    openssl_handshake(server, context(ssl.Purpose.SERVER_AUTH, enrolled, "worker"), "localhost")


@pytest.mark.parametrize(("server", "client"), [("worker", "client"), ("server", "server")])
def test_a_certificate_serves_in_its_own_role_only(certs: Path, server: str, client: str) -> None:
    with pytest.raises(ssl.SSLError):
        openssl_handshake(
            context(ssl.Purpose.CLIENT_AUTH, certs, server),
            context(ssl.Purpose.SERVER_AUTH, certs, client),
            "localhost",
        )


async def who_calls(request: bytes, call: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    identity = parse_peer(next(iter(call.auth_context()["x509_pem_cert"])))
    return f"{identity.role.name} {identity.name}".encode()


@pytest.fixture
async def port(certs: Path) -> AsyncIterator[int]:
    """A gRPC server that demands a client certificate and answers who its caller is."""
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("Echo", {"Who": grpc.unary_unary_rpc_method_handler(who_calls)})
    server.add_generic_rpc_handlers((handler,))
    credentials = grpc.ssl_server_credentials(
        [((certs / "server.key").read_bytes(), (certs / "server.crt").read_bytes())],
        root_certificates=(certs / "ca.crt").read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("[::1]:0", credentials)
    await server.start()
    yield port
    await server.stop(None)


async def ask(port: int, directory: Path, name: str) -> bytes:
    pems = [(directory / file).read_bytes() for file in ("ca.crt", f"{name}.key", f"{name}.crt")]
    async with grpc.aio.secure_channel(f"[::1]:{port}", grpc.ssl_channel_credentials(*pems)) as channel:
        who: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/Echo/Who")
        return await who(b"", timeout=30)


@pytest.mark.parametrize(("name", "role"), [("worker", Role.WORKER), ("client", Role.ADMIN)])
async def test_grpc_connects_with_the_made_certificates_and_learns_who_calls(
    port: int, certs: Path, name: str, role: Role
) -> None:
    identity = parse_peer((certs / f"{name}.crt").read_bytes())
    assert await ask(port, certs, name) == f"{role.name} {identity.name}".encode()


async def test_grpc_connects_an_enrolled_worker(port: int, enrolled: Path) -> None:
    assert await ask(port, enrolled, "worker") == b"WORKER w-1"


async def test_grpc_refuses_a_worker_of_another_ca(port: int, certs: Path, tmp_path: Path) -> None:
    init_certs(tmp_path)
    (tmp_path / "ca.crt").write_bytes((certs / "ca.crt").read_bytes())
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await ask(port, tmp_path, "worker")
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
