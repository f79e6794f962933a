"""Certificates in memory: a restart forgets them, and what was revoked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from itertools import islice

from taskrun.adapters.stores.certificate_pages import begin_of, page_of
from taskrun.domain.certificates.certificate import (
    LISTED_MS,
    Certificate,
    CertificatePage,
    CertificateQuery,
    Revocation,
)
from taskrun.domain.certificates.revoked import Revoked
from taskrun.domain.identity import Identity


class MemoryCertificateStore:
    """Implements `CertificateStore`. Listing and revoking look at what an owner, or everybody, has."""

    def __init__(self) -> None:
        self._by_serial: dict[str, Certificate] = {}
        #: (not_after_ms, serial)
        self._by_end: list[tuple[int, str]] = []
        self._revocations: list[Revocation] = []
        self._revoked = Revoked()
        self._told: list[Callable[[Revocation, Sequence[Certificate]], None]] = []

    def on_revoke(self, tell: Callable[[Revocation, Sequence[Certificate]], None]) -> None:
        """From now on `tell` is called with each revocation and the certificates that it marks, while it is kept."""
        self._told.append(tell)

    def record(self, certificate: Certificate, old: Identity | None = None) -> bool:
        """Keeps it, unless a revocation covers it or the old one."""
        if self._revoked.covers(certificate.identity) or (old is not None and self._revoked.covers(old)):
            return False
        self._forget(certificate.issued_at_ms)
        self._by_serial[certificate.serial] = certificate
        heappush(self._by_end, (certificate.not_after_ms, certificate.serial))
        return True

    async def renew(self, certificate: Certificate, old: Identity) -> bool:
        """See `CertificateStore.renew`."""
        return self.record(certificate, old)

    async def find(self, query: CertificateQuery) -> CertificatePage:
        """See `CertificateStore.find`."""
        return page_of(self._after(begin_of(query), query), query.limit)

    async def has(self, serial: str) -> bool:
        """See `CertificateStore.has`."""
        return serial in self._by_serial

    async def revoke(self, revocation: Revocation) -> Sequence[Certificate]:
        """See `CertificateStore.revoke`."""
        self._keep(revocation)
        marked = [
            replace(each, revoked_at_ms=revocation.at_ms)
            for each in sorted(self._by_serial.values(), key=_place)
            if not each.revoked_at_ms and revocation.names(each)
        ]
        for certificate in marked:
            self._by_serial[certificate.serial] = certificate
            if revocation.owner:
                self._keep(Revocation(revocation.at_ms, serial=certificate.serial))
        for tell in self._told:
            tell(revocation, marked)
        return marked

    async def revocations(self, after: int = 0) -> Sequence[Revocation]:
        """See `CertificateStore.revocations`."""
        return self._revocations[bisect_left(self._revocations, after + 1, key=lambda each: each.number) :]

    def _after(self, begin: tuple[int, str], query: CertificateQuery) -> list[Certificate]:
        """In their order, one more than the page holds."""
        matching = (each for each in self._by_serial.values() if query.owner in {"", each.owner})
        ordered = sorted((each for each in matching if _place(each) > _ordered(*begin)), key=_place)
        return list(islice(ordered, query.limit + 1))

    def _keep(self, revocation: Revocation) -> None:
        numbered = replace(revocation, number=len(self._revocations) + 1)
        self._revocations.append(numbered)
        self._revoked.learn(numbered)

    def _forget(self, now_ms: int) -> None:
        while self._by_end and self._by_end[0][0] + LISTED_MS <= now_ms:
            del self._by_serial[heappop(self._by_end)[1]]


def _place(certificate: Certificate) -> tuple[int, str]:
    return _ordered(certificate.issued_at_ms, certificate.serial)


def _ordered(issued_at_ms: int, serial: str) -> tuple[int, str]:
    return -issued_at_ms, serial
