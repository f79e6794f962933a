"""Who signs certificates."""

from __future__ import annotations

from typing import Protocol

from taskrun.domain.values import value


@value(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate just signed, with what is recorded about it."""

    certificate_pem: bytes
    #: Hexadecimal.
    serial: str
    not_after_ms: int


class CertificateAuthority(Protocol):
    """The CA. Its key never leaves it."""

    def certificate_pem(self) -> bytes:
        """The CA's own certificate."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate's DER form, 64 lower-case hexadecimal digits: the pin in bootstrap tokens."""
        ...

    def check_request(self, csr_pem: bytes) -> bytes:
        """SHA-256 of the public key to certify (its SubjectPublicKeyInfo): the same for each request by that key.

        Raises `InvalidArgument` unless this CA would sign the request: see SAFETY's CA and CSR rules.
        """
        ...

    def sign_worker(self, csr_pem: bytes, worker_id: str) -> IssuedCertificate:
        """A client certificate for `worker:<worker_id>` and the request's public key; nothing else of the request
        is used. Raises `InvalidArgument` as `check_request` does."""
        ...
