"""Certificates over the wire, with real handshakes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import grpc
import pytest

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.calls import RENEW
from taskrun.adapters.grpc.channel import open_channel
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.domain.certificates.certificate import Certificate, CertificatePage, CertificateQuery, Revocation
from taskrun.domain.identity import Role
from taskrun.domain.limits import MAX_PAGE
from tests.adapters.grpc.conftest import Plane
from tests.adapters.grpc.raw import heard, hello, status, stream
from tests.adapters.grpc.stubs import make_gate
from tests.adapters.grpc.test_access import call

CERTIFICATE = Certificate("a1", "worker:w-1", 1_000, 5_000, 3_000)
OLDER = replace(CERTIFICATE, serial="a0", revoked_at_ms=0)


async def renew(plane: Plane, tls: ClientTls) -> bytes:
    async with open_channel(parse_address(plane.address), tls) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(RENEW.path)
        return RENEW.answer(await ask(RENEW.request(b"request"), timeout=30))


async def test_a_worker_renews_under_the_name_in_its_certificate(plane: Plane) -> None:
    assert await renew(plane, plane.ca.worker("w-7")) == b"certificate"
    [(peer, csr_pem)] = plane.certificates.renewed
    assert (peer.role, peer.name, csr_pem) == (Role.WORKER, "w-7", b"request")


async def test_a_client_renews_nothing(plane: Plane) -> None:
    assert await call(plane, plane.ca.client(), RENEW.path) is grpc.StatusCode.PERMISSION_DENIED


async def test_all_pages_of_the_list_are_asked_for(plane: Plane) -> None:
    plane.certificates.pages = [CertificatePage((CERTIFICATE,), "next"), CertificatePage((OLDER,))]
    async with plane.client() as client:
        assert await client.certificates("worker:w-1") == [CERTIFICATE, OLDER]
    first = CertificateQuery("worker:w-1", MAX_PAGE)
    assert plane.certificates.queries == [first, replace(first, page_token="next")]


async def test_a_worker_a_client_or_a_serial_number_is_revoked(plane: Plane, lines: list[str]) -> None:
    async with plane.client() as client:
        assert await client.revoke_worker("w-1") == [CERTIFICATE]
        assert await client.revoke_client("ann") == [CERTIFICATE]
        assert await client.revoke_serial("a1") == []
    assert plane.certificates.revoked == ["w-1", "ann", "a1"]
    assert any("'by': 'client:admin', 'which': 'w-1', 'count': 1" in line for line in lines)


async def test_who_says_nothing_to_revoke_is_refused(plane: Plane) -> None:
    method = "/taskrun.v1.CertificateService/RevokeCertificates"
    assert await call(plane, plane.ca.client(), method) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_time_that_is_none_is_no_certificate(plane: Plane) -> None:
    plane.certificates.pages = [CertificatePage((replace(CERTIFICATE, issued_at_ms=-1),))]
    async with plane.client() as client:
        with pytest.raises(Exception, match="cannot be understood"):
            await client.certificates()


async def test_a_stream_is_cut_soon_after_its_certificate_ended(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(lasts=timedelta(seconds=2)), hello()) as worker:
        await heard(worker)
        code, details = await status(worker)
    assert (code, details) == (grpc.StatusCode.UNAUTHENTICATED, "The client certificate has expired.")
    await plane.gateway.until(lambda: plane.gateway.sessions[1].over)


async def test_a_stream_is_cut_when_its_worker_is_revoked_and_no_other_is(plane: Plane) -> None:
    server = plane.server()
    certificates = MemoryCertificateStore()
    plane.gate = make_gate(certificates)
    other = plane.server()
    old, plane.port = plane.port, await other.start()
    async with (
        stream(plane.address, plane.ca.worker("w-1"), hello()) as one,
        stream(plane.address, plane.ca.worker("w-2"), hello()) as two,
    ):
        await heard(one)
        await heard(two)
        await certificates.revoke(Revocation(2**42, owner="worker:w-1"))
        await plane.gate.learn()
        code, details = await status(one)
        assert (code, details) == (grpc.StatusCode.UNAUTHENTICATED, "The client certificate was revoked.")
        assert not plane.gateway.sessions[2].over
    # It is refused before it has said anything, and may not come to that.
    async with stream(plane.address, plane.ca.worker("w-1")) as again:
        assert (await status(again))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert await call(plane, plane.ca.worker("w-1"), RENEW.path) is grpc.StatusCode.UNAUTHENTICATED
    await other.stop(0)
    plane.port = old
    await server.stop(0)
