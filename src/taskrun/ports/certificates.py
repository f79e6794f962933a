"""Certificates after they were issued: who asks about them, who lets their holders in, and where they are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from taskrun.domain.certificates.certificate import Certificate, CertificatePage, CertificateQuery, Revocation
from taskrun.domain.certificates.life import Life
from taskrun.domain.errors import TaskRunError
from taskrun.domain.identity import Identity


class CertificateApi(Protocol):
    """Certificates, for callers. Each method raises `StoreFailed` where they cannot be looked up or recorded."""

    async def renew(self, peer: Identity, csr_pem: bytes) -> bytes:
        """Another certificate (PEM) for this worker, with the request's public key.

        The old one stays good until its end. Raises `InvalidArgument` for a request that would not be signed,
        `Unauthenticated` if the peer's certificate was revoked, and `ResourceExhausted` for a worker that has renewed
        more often of late than one whose renewals fail would try to.
        """
        ...

    async def find(self, query: CertificateQuery) -> CertificatePage:
        """As `CertificateStore.find`. Raises `InvalidArgument` for an owner or page token that is none."""
        ...

    async def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        """All that this worker was given so far is worth nothing, known here or not, tokens for it included.

        Returns the certificates of which that was not so before, newest first. Within 5 seconds, on every control
        plane of the store, its streams are cut, it is let in no more, and its runs go to others; whoever enrols under
        its id afterwards is welcome. Raises `InvalidArgument` for what is no worker's id.
        """
        ...

    async def revoke_client(self, name: str) -> Sequence[Certificate]:
        """The same for all that a client was given so far; a certificate that is made for it afterwards is good.
        Raises `InvalidArgument` for what is no client's name."""
        ...

    async def revoke_serial(self, serial: str) -> Sequence[Certificate]:
        """The same for one certificate, whosever it is. Raises `InvalidArgument` for what is no serial number."""
        ...


class Admission(Protocol):
    """Who is let in: asked by the adapter that reads certificates. It answers from memory."""

    def admit(self, peer: Identity) -> None:
        """Raises `Unauthenticated` if the peer's certificate has expired or was revoked."""
        ...

    def present(self, peer: Identity, cut: Callable[[TaskRunError], None]) -> AbstractContextManager[None]:
        """The peer has a stream open within the block. `cut` is called, once at most, when it has to end at once:
        within 5 seconds of its certificate's end or revocation."""
        ...


class CertificateStore(Protocol):
    """Keeps which certificates were issued, and what was revoked. `TokenStore.spend` records here too.

    What has expired is kept for 30 days after its end. Raises `StoreFailed`.
    """

    async def renew(self, certificate: Certificate, old: Identity) -> bool:
        """Records it in place of nothing: both are good. False, and nothing is recorded, if a revocation covers either
        of them; a revocation that comes at the same time counts as earlier, or finds the new one recorded."""
        ...

    async def find(self, query: CertificateQuery) -> CertificatePage:
        """By the moment of their issue, newest first; of one moment by serial. A page ends with its limit."""
        ...

    async def has(self, serial: str) -> bool:
        """Whether the certificate of this serial number is recorded, whatever it is worth."""
        ...

    async def revoke(self, revocation: Revocation) -> Sequence[Certificate]:
        """Keeps it for good. In one transaction it also marks the recorded certificates that it is about, each of which
        gets a revocation of its own serial, and forgets the unspent tokens of an owner. Of the owners of all these it
        forgets what tokens were spent on: no answer that brings a revoked certificate is given again.

        Returns what it has marked, newest first: what was revoked before is not marked again.
        """
        ...

    async def revocations(self, after: int = 0) -> Sequence[Revocation]:
        """Those whose number is above `after`, in order. Numbers only grow: none appears below one that was seen."""
        ...


class Ledger(Protocol):
    """What was signed for without a control plane."""

    async def news(self) -> Sequence[Identity]:
        """Those who can come with such a certificate, each of which is told once."""
        ...


class Renewer(Protocol):
    """A worker's way to its next certificate."""

    def life(self) -> Life:
        """Of the certificate that it has now."""
        ...

    async def renew(self) -> Life:
        """Makes a key, has it certified, and puts both in the place of the old ones, which a crash at any moment leaves
        as they were. Raises `TaskRunError` if that came to nothing."""
        ...
