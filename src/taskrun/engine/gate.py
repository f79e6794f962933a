"""The gate: who is let in, and who is put out again when a certificate expires or is revoked.

What was revoked is kept in memory, so that a call costs a look-up; the store is asked for news of it every two seconds,
because another control plane may have been told. Expiry needs nobody: it is looked at when it falls due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loguru import logger

from taskrun.domain.certificates.certificate import Revocation
from taskrun.domain.certificates.presence import Presence, expired, revoked
from taskrun.domain.errors import StoreFailed, TaskRunError
from taskrun.domain.events import CertificatesAged
from taskrun.domain.identity import Identity, Role
from taskrun.engine.alarm import Alarm
from taskrun.engine.background import Background
from taskrun.ports.certificates import CertificateStore
from taskrun.ports.clock import Clock
from taskrun.ports.telemetry import Telemetry

#: Seconds between two looks: at the wall clock, which may be set, and at what others have revoked.
LOOK = 2.0


class Gate:
    """Implements `Admission`."""

    def __init__(
        self, store: CertificateStore, clock: Clock, telemetry: Telemetry, expel: Callable[[str], None]
    ) -> None:
        """`expel` is called with the id of each worker whose certificate is revoked: its runs are to go to others."""
        self._store, self._clock, self._telemetry, self._expel = store, clock, telemetry, expel
        self._presence = Presence()
        self._cuts: dict[int, Callable[[TaskRunError], None]] = {}
        self._alarm = Alarm(clock, self._look)
        self._aged = 0
        #: The number of the last revocation that was heard of.
        self._heard = 0
        self._learning = asyncio.Lock()
        self._background = Background("gate", self._listen)
        self._deaf = False

    # Life.

    async def start(self) -> None:
        """Learns what was revoked so far, and listens from now on; doing it twice is harmless. Raises `StoreFailed`."""
        if not self._background.is_started:
            for revocation in await self._news():
                # Whoever it meant was put out then: a worker of that name may have enrolled anew.
                self._presence.revoke(revocation)
            self._background.start()

    async def stop(self) -> None:
        """Ends; doing it twice is harmless."""
        self._alarm.stop()
        await self._background.stop()

    async def learn(self) -> None:
        """Acts upon what was revoked meanwhile. Raises `StoreFailed`; then it is heard of later."""
        async with self._learning:
            for revocation in await self._news():
                self._put_out(revocation)

    # Admission.

    def admit(self, peer: Identity) -> None:
        """See `Admission.admit`."""
        fault = self._presence.fault(peer, self._clock.now().utc_ms)
        if fault is not None:
            raise fault

    @contextmanager
    def present(self, peer: Identity, cut: Callable[[TaskRunError], None]) -> Iterator[None]:
        """See `Admission.present`."""
        number = self._presence.enter(peer)
        self._cuts[number] = cut
        self._set_alarm()
        try:
            yield
        finally:
            self._presence.leave(number)
            self._cuts.pop(number, None)
            self._tell_aged()

    # Inside.

    async def _listen(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now().mono + LOOK)
            try:
                await self.learn()
                self._deaf = False
            except StoreFailed as error:
                if not self._deaf:
                    logger.warning("what other control planes revoke is not heard now: {}", error.message)
                self._deaf = True
            except Exception:
                # It goes on: or nothing that others revoke would ever be heard of again.
                logger.exception("what other control planes revoke was not acted upon")

    async def _news(self) -> list[Revocation]:
        """Those that were not heard of before."""
        news = list(await self._store.revocations(self._heard))
        if news:
            self._heard = news[-1].number
        return news

    def _put_out(self, revocation: Revocation) -> None:
        role, _, name = revocation.owner.partition(":")
        names = {name} if role == Role.WORKER.value else set()
        for number, peer in self._presence.revoke(revocation):
            self._cut(number, revoked())
            if peer.role is Role.WORKER:
                names.add(peer.name)
        for worker_id in sorted(names):
            self._expel(worker_id)

    def _look(self) -> None:
        now_ms = self._clock.now().utc_ms
        for number in self._presence.ended(now_ms):
            self._cut(number, expired())
        for peer in self._presence.grown_old(now_ms):
            left = (peer.not_after_ms - now_ms) // 1000
            logger.warning("the worker's certificate was not renewed and ends in {} s", left, worker_id=peer.name)
        self._tell_aged()
        self._set_alarm()

    def _cut(self, number: int, error: TaskRunError) -> None:
        cut = self._cuts.pop(number, None)
        if cut is not None:
            cut(error)

    def _tell_aged(self) -> None:
        if self._presence.aged != self._aged:
            self._aged = self._presence.aged
            self._telemetry.record([CertificatesAged(self._aged)])

    def _set_alarm(self) -> None:
        due_ms, now = self._presence.next_ms(), self._clock.now()
        if due_ms is not None:
            self._alarm.set(now.mono + min(LOOK, max(0.0, (due_ms - now.utc_ms) / 1000)))
