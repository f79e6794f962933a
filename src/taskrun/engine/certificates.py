"""Certificates after they were issued: they are renewed, listed and revoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from loguru import logger

from taskrun.domain.certificates.certificate import (
    Certificate,
    CertificatePage,
    CertificateQuery,
    Revocation,
    normal_serial,
)
from taskrun.domain.certificates.pace import RenewalPace
from taskrun.domain.certificates.presence import revoked
from taskrun.domain.errors import InvalidArgument, StoreFailed
from taskrun.domain.identity import Identity, Role, check_client_name
from taskrun.domain.limits import DEFAULT_PAGE, MAX_PAGE, check_old_worker_id, check_owner
from taskrun.ports.authority import CertificateAuthority
from taskrun.ports.certificates import CertificateStore
from taskrun.ports.clock import Clock


class Certificates:
    """Implements `CertificateApi`."""

    def __init__(
        self,
        authority: CertificateAuthority,
        store: CertificateStore,
        clock: Clock,
        learn: Callable[[], Awaitable[None]],
    ) -> None:
        """`learn` is called when something was revoked: see `Gate.learn`."""
        self._authority, self._store, self._clock, self._learn = authority, store, clock, learn
        self._pace = RenewalPace()

    async def renew(self, peer: Identity, csr_pem: bytes) -> bytes:
        """See `CertificateApi.renew`."""
        now = self._clock.now()
        self._pace.count(peer, now.mono)
        issued = self._authority.sign_worker(csr_pem, peer.name)
        certificate = Certificate(issued.serial, peer.owner, now.utc_ms, issued.not_after_ms)
        # Nobody is given what is not recorded.
        if not await self._store.renew(certificate, peer):
            raise revoked()
        logger.info("certificate {} renewed by {}", peer.serial, issued.serial, worker_id=peer.name)
        return issued.certificate_pem

    async def find(self, query: CertificateQuery) -> CertificatePage:
        """See `CertificateApi.find`."""
        check_owner(query.owner)
        limit = min(query.limit, MAX_PAGE) if query.limit > 0 else DEFAULT_PAGE
        return await self._store.find(replace(query, limit=limit))

    async def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        """See `CertificateApi.revoke_worker`."""
        check_old_worker_id(worker_id)
        return await self._revoke(Revocation(self._clock.now().utc_ms, owner=f"{Role.WORKER.value}:{worker_id}"))

    async def revoke_client(self, name: str) -> Sequence[Certificate]:
        """See `CertificateApi.revoke_client`."""
        check_client_name(name)
        return await self._revoke(Revocation(self._clock.now().utc_ms, owner=f"client:{name}"))

    async def revoke_serial(self, serial: str) -> Sequence[Certificate]:
        """See `CertificateApi.revoke_serial`."""
        normal = normal_serial(serial)
        if not normal:
            raise InvalidArgument("A serial number is up to 40 hexadecimal digits, and not 0.")
        return await self._revoke(Revocation(self._clock.now().utc_ms, serial=normal))

    async def _revoke(self, revocation: Revocation) -> Sequence[Certificate]:
        marked = await self._store.revoke(revocation)
        try:
            await self._learn()
        except StoreFailed as error:
            # It is stored, and will be heard of.
            logger.warning("what was revoked is acted upon a little later: {}", error.message)
        return marked
