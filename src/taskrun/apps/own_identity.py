"""A worker's own certificate and key: read from its files, renewed over gRPC, and put back into them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from taskrun.adapters.ca.certificates import life_of
from taskrun.adapters.ca.disk import read_public
from taskrun.adapters.ca.enroll_keys import checked_enrollment, fingerprint_of, new_key_and_csr
from taskrun.adapters.ca.files import KeyPair
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.pair_files import PairFiles
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.domain.certificates.life import Life
from taskrun.domain.errors import FailedPrecondition
from taskrun.ports.enrollment import Enrollment

#: Seconds for a renewal, whichever of the control planes answers.
_TIMEOUT = 15.0

#: Given what to show and a certificate request, gets the certificate.
Ask = Callable[[ClientTls, bytes], Awaitable[bytes]]


class OwnIdentity:
    """Implements `Renewer`. Raises `FailedPrecondition` if the files are none of a worker's."""

    def __init__(self, certificate_path: Path, key_path: Path, ca_path: Path, ask: Ask) -> None:
        self._files, self._ask = PairFiles(certificate_path, key_path), ask
        self._ca_pem = read_public(ca_path)
        self._hold(self._files.load())

    def tls(self) -> ClientTls:
        """What to show now."""
        return self._tls

    def life(self) -> Life:
        """See `Renewer.life`."""
        return self._life

    async def renew(self) -> Life:
        """See `Renewer.renew`."""
        key_pem, csr_pem = new_key_and_csr()
        # First, so that a directory which cannot be written is found before anybody is asked.
        await asyncio.to_thread(self._files.stage, key_pem)
        try:
            certificate_pem = self._checked(await self._ask(self._tls, csr_pem), key_pem)
        except BaseException:
            self._files.discard()
            raise
        await asyncio.to_thread(self._files.commit, certificate_pem)
        self._hold(self._files.load())
        return self._life

    def _checked(self, certificate_pem: bytes, key_pem: bytes) -> bytes:
        """The certificate, if it is ours as much as the one that it is to replace."""
        pin = fingerprint_of(self._ca_pem)
        if not pin:
            raise FailedPrecondition("The CA's file must hold one certificate: another CA's cannot be told from it.")
        answer = Enrollment(parse_peer(self._tls.cert_pem).name, certificate_pem, self._ca_pem)
        return checked_enrollment(answer, pin, key_pem, datetime.now(UTC)).certificate_pem

    def _hold(self, pair: KeyPair) -> None:
        self._tls = ClientTls(self._ca_pem, pair.certificate_pem, pair.key_pem)
        self._life = life_of(pair.certificate)


async def ask_for_renewal(addresses: Sequence[str], tls: ClientTls, csr_pem: bytes) -> bytes:
    """Asks the control planes at these addresses, until one answers. Raises `TaskRunError` if none does."""
    async with AsyncClient(addresses, tls, _TIMEOUT) as client:
        return await client.renew_certificate(csr_pem)
