"""Serves `taskrun.v1.CertificateService`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from loguru import logger

from taskrun.adapters.grpc.access import Context, Handler, caller
from taskrun.adapters.grpc.codec_certificates import (
    decode_certificate_query,
    encode_certificate,
    encode_certificate_page,
)
from taskrun.adapters.grpc.handlers import unary
from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.errors import InvalidArgument
from taskrun.ports.certificates import CertificateApi
from taskrun.v1 import certificate_service_pb2 as pb


class CertificateService:
    """What workers call for their next certificate, and clients about all of them."""

    def __init__(self, certificates: CertificateApi) -> None:
        self._certificates = certificates
        #: By the name of the field that says what.
        self._revokers: dict[str, Callable[[str], Awaitable[Sequence[Certificate]]]] = {
            "worker_id": certificates.revoke_worker,
            "client_name": certificates.revoke_client,
            "serial": certificates.revoke_serial,
        }

    def handlers(self) -> dict[str, Handler]:
        """The service's methods by name."""
        return {
            "RenewCertificate": unary(pb.RenewCertificateRequest, self._renew),
            "ListCertificates": unary(pb.ListCertificatesRequest, self._list),
            "RevokeCertificates": unary(pb.RevokeCertificatesRequest, self._revoke),
        }

    async def _renew(self, request: pb.RenewCertificateRequest, context: Context) -> pb.RenewCertificateResponse:
        issued = await self._certificates.renew(caller(), request.csr_pem.encode())
        return pb.RenewCertificateResponse(certificate_pem=issued.decode())

    async def _list(self, request: pb.ListCertificatesRequest, context: Context) -> pb.ListCertificatesResponse:
        return encode_certificate_page(await self._certificates.find(decode_certificate_query(request)))

    async def _revoke(self, request: pb.RevokeCertificatesRequest, context: Context) -> pb.RevokeCertificatesResponse:
        which = request.WhichOneof("which")
        if which is None:
            raise InvalidArgument("Say what to revoke: a worker_id, a client_name or a serial.")
        what = getattr(request, which)
        revoked = await self._revokers[which](what)
        logger.warning("certificates revoked", by=caller().owner, which=what, count=len(revoked))
        return pb.RevokeCertificatesResponse(certificates=map(encode_certificate, revoked))
