"""`POST /v1/enroll`: a bootstrap token and a certificate request are exchanged for a certificate."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from loguru import logger
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from taskrun.adapters.http.bodies import read_json
from taskrun.adapters.http.refusals import TooSoon
from taskrun.domain.errors import InvalidArgument, Unauthenticated
from taskrun.domain.throttle import Throttle
from taskrun.ports.enrollment import EnrollmentApi

MAX_ENROLL_BYTES = 16 * 1024


class _EnrollRequest(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    csr_pem: str


class EnrollRoute:
    """Its `post` is the route. Failures are counted by the address of the peer; successes never are."""

    def __init__(self, enrollment: EnrollmentApi, throttle: Throttle, grpc_addr: Callable[[str], str]) -> None:
        self._enrollment = enrollment
        self._throttle = throttle
        self._grpc_addr = grpc_addr

    async def post(self, request: Request) -> Response:
        """200 with the identity; 400, 401 (one body, whatever the reason), 413, 415, 429."""
        peer = request.client.host if request.client else ""
        wait = self._throttle.wait(peer)
        if wait > 0:
            raise _too_soon(wait)
        try:
            return await self._enroll(request)
        except (InvalidArgument, Unauthenticated) as error:
            wait = self._throttle.failed(peer)
            logger.info("enrolment refused: {}", type(error).__name__, peer=peer)
            if wait > 0:
                raise _too_soon(wait) from None
            raise

    async def _enroll(self, request: Request) -> Response:
        asked = await read_json(request, _EnrollRequest, MAX_ENROLL_BYTES)
        try:
            enrollment = await self._enrollment.enroll(asked.token, asked.csr_pem.encode())
        except Unauthenticated:
            # Said here again, so that no implementation can let a stranger tell one reason from another.
            raise Unauthenticated("The bootstrap token is unknown, expired or already used.") from None
        return JSONResponse(
            {
                "worker_id": enrollment.worker_id,
                "certificate_pem": enrollment.certificate_pem.decode(),
                "ca_pem": enrollment.ca_pem.decode(),
                "grpc_addr": self._grpc_addr(request.url.hostname or ""),
            }
        )


def _too_soon(wait: float) -> TooSoon:
    return TooSoon("Too many failed enrolments: try again later.", wait)
