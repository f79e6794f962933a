"""Certificates that no control plane has issued are recorded too: whoever looks who can come in must find them.

`taskrun init` and `create-client` sign where the CA's key is, whether or not a control plane runs. They leave a copy
there. What was signed elsewhere, by an owner's own tools for one, is recorded when somebody first calls with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from loguru import logger

from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.errors import StoreFailed, TaskRunError
from taskrun.domain.identity import Identity
from taskrun.engine.background import Background
from taskrun.ports.certificates import Admission, CertificateStore, Ledger
from taskrun.ports.clock import Clock

#: Seconds until a store that was away is asked again.
AGAIN = 2.0
#: Seconds between two looks into the ledger.
LOOK = 5.0
#: Certificates that are remembered as looked at, and that wait to be. One that was forgotten is only looked at again.
MOST = 4096


class Register:
    """Implements `Admission`, in front of the one that decides. Nobody who comes waits for the store."""

    def __init__(
        self, admission: Admission, store: CertificateStore, ledger: Ledger, clock: Clock, most: int = MOST
    ) -> None:
        self._admission, self._store, self._ledger = admission, store, ledger
        self._clock, self._most = clock, most
        #: By serial, the first that came at the beginning.
        self._seen: dict[str, None] = {}
        self._new: asyncio.Queue[Identity] = asyncio.Queue(most)
        self._writing = Background("register of certificates", self._write)
        self._reading = Background("ledger of certificates", self._read)

    def start(self) -> None:
        """Records from now on; doing it twice is harmless."""
        self._writing.start()
        self._reading.start()

    async def stop(self) -> None:
        """Ends; doing it twice is harmless."""
        await self._reading.stop()
        await self._writing.stop()

    # Admission.

    def admit(self, peer: Identity) -> None:
        """See `Admission.admit`."""
        self._admission.admit(peer)
        if peer.serial not in self._seen and not self._new.full():
            self._remember(peer.serial)
            self._new.put_nowait(peer)

    def present(self, peer: Identity, cut: Callable[[TaskRunError], None]) -> AbstractContextManager[None]:
        """See `Admission.present`."""
        return self._admission.present(peer, cut)

    # Inside.

    def _remember(self, serial: str) -> None:
        self._seen[serial] = None
        if len(self._seen) > self._most:
            del self._seen[next(iter(self._seen))]

    async def _read(self) -> None:
        while True:
            try:
                for peer in await self._ledger.news():
                    await self._new.put(peer)
            except Exception:
                # It goes on: what comes next may be readable.
                logger.exception("the ledger of certificates was not read")
            await self._clock.sleep_until(self._clock.now().mono + LOOK)

    async def _write(self) -> None:
        while True:
            peer = await self._new.get()
            while not await self._is_done(peer):
                await self._clock.sleep_until(self._clock.now().mono + AGAIN)

    async def _is_done(self, peer: Identity) -> bool:
        """Whether there is nothing more to do for this one."""
        try:
            await self._record(peer)
        except StoreFailed as error:
            # Another control plane may have recorded it in the same moment: then it is found the next time.
            logger.debug("the certificate {} is not recorded yet: {}", peer.serial, error.message)
            return False
        except Exception:
            # It goes on with the next: or no certificate would ever be recorded again.
            logger.exception("the certificate {} was not recorded", peer.serial)
        return True

    async def _record(self, peer: Identity) -> None:
        if self._clock.now().utc_ms < peer.not_after_ms and not await self._store.has(peer.serial):
            certificate = Certificate(peer.serial, peer.owner, peer.issued_at_ms, peer.not_after_ms)
            # As its own successor: it is recorded, unless it was revoked meanwhile.
            if await self._store.renew(certificate, peer):
                logger.debug("the certificate {} of {} is listed from now on", peer.serial, peer.owner)
