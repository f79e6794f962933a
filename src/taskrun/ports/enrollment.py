"""How a new worker is let in: an inbound port, and the place where its tokens are kept."""

from __future__ import annotations

from typing import Protocol

from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.values import value


@value(frozen=True, slots=True)
class BootstrapToken:
    """A token just made. `token` is shown this once; only its SHA-256 is kept."""

    token: str
    worker_id: str
    expires_at_ms: int
    #: Where to exchange it, as the adapter that hands it out knows; "" = not said.
    enroll_url: str = ""


@value(frozen=True, slots=True)
class Enrollment:
    """A worker's new identity."""

    worker_id: str
    certificate_pem: bytes
    ca_pem: bytes
    #: Where the control plane's gRPC is for this worker, as the adapter that hands it out knows; "" = not said.
    grpc_addr: str = ""


class EnrollmentApi(Protocol):
    """Enrolment, for the adapters that offer it."""

    async def create_token(self, worker_id: str = "", ttl_ms: int = 0) -> BootstrapToken:
        """A single-use token for this worker id ("" makes one up), valid for `ttl_ms` (0 = 1 h, at most 7 days).
        Raises `InvalidArgument` for a bad id or ttl."""
        ...

    async def enroll(self, token: str, csr_pem: bytes) -> Enrollment:
        """Signs the request for the token's worker and spends the token.

        The request is checked first: `InvalidArgument` leaves the token unspent. `Unauthenticated`, in the same words
        whether the token is unknown, expired or used. Of many requests with one token exactly one is signed for good;
        who asks again with its key within 10 minutes gets the same answer, because the first may have been lost, unless
        certificates of the worker were revoked meanwhile.
        """
        ...


@value(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a bootstrap token."""

    #: SHA-256 of the token's secret.
    digest: bytes
    worker_id: str
    expires_at_ms: int


@value(frozen=True, slots=True)
class Exchange:
    """What a token was spent on."""

    #: SHA-256 of the public key in the certificate request, as `CertificateAuthority.check_request` gives it.
    request_digest: bytes
    answer: Enrollment
    #: Until then it is remembered.
    until_ms: int


class TokenStore(Protocol):
    """Keeps bootstrap tokens until they are spent or expire, and for a while what they were spent on.
    Raises `StoreFailed`."""

    async def put(self, record: TokenRecord) -> None:
        """Keeps it."""
        ...

    async def find(self, digest: bytes, now_ms: int) -> TokenRecord | None:
        """The unspent, unexpired token of that digest."""
        ...

    async def spend(self, digest: bytes, exchange: Exchange, certificate: Certificate, now_ms: int) -> bool:
        """Takes it out, remembers the exchange and records the certificate, all in one transaction.

        True for exactly one caller, and only before the token expires. False, and nothing is changed, also if the
        certificate is covered by a revocation, as for `CertificateStore.renew`.
        """
        ...

    async def spent_on(self, digest: bytes, now_ms: int) -> Exchange | None:
        """What the token was spent on, before `until_ms`. Is forgotten earlier by `CertificateStore.revoke`, and may be
        when there are very many."""
        ...
