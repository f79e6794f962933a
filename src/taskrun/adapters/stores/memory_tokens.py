"""Bootstrap tokens in memory: a restart forgets them, and their owner makes new ones."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.domain.certificates.certificate import Certificate, Revocation
from taskrun.ports.enrollment import Exchange, TokenRecord

#: Exchanges remembered at most, some 3 kB each.
MAX_EXCHANGES = 4096


class MemoryTokenStore:
    """Implements `TokenStore`. Every call is O(log n); expired tokens are forgotten as time passes."""

    def __init__(self, certificates: MemoryCertificateStore | None = None) -> None:
        """`certificates` is where it records what tokens are spent on."""
        self._certificates = certificates or MemoryCertificateStore()
        self._certificates.on_revoke(self._revoked)
        self._unspent: dict[bytes, TokenRecord] = {}
        #: (expires_at_ms, digest); may name tokens that are spent already.
        self._by_expiry: list[tuple[int, bytes]] = []
        #: By the token's digest, in the order of spending.
        self._exchanges: dict[bytes, Exchange] = {}

    async def put(self, record: TokenRecord) -> None:
        """Keeps it."""
        self._unspent[record.digest] = record
        heappush(self._by_expiry, (record.expires_at_ms, record.digest))

    async def find(self, digest: bytes, now_ms: int) -> TokenRecord | None:
        """The unspent, unexpired token of that digest."""
        self._forget_expired(now_ms)
        return self._unspent.get(digest)

    async def spend(self, digest: bytes, exchange: Exchange, certificate: Certificate, now_ms: int) -> bool:
        """See `TokenStore.spend`."""
        self._forget_expired(now_ms)
        if digest not in self._unspent or not self._certificates.record(certificate):
            return False
        del self._unspent[digest]
        self._exchanges[digest] = exchange
        if len(self._exchanges) > MAX_EXCHANGES:
            del self._exchanges[next(iter(self._exchanges))]
        return True

    async def spent_on(self, digest: bytes, now_ms: int) -> Exchange | None:
        """What the token was spent on, if that is still remembered."""
        self._forget_expired(now_ms)
        exchange = self._exchanges.get(digest)
        return exchange if exchange and now_ms < exchange.until_ms else None

    def _revoked(self, revocation: Revocation, marked: Sequence[Certificate]) -> None:
        owned = [each for each in self._unspent.values() if f"worker:{each.worker_id}" == revocation.owner]
        for record in owned:
            del self._unspent[record.digest]
        owners = revocation.owners(marked)
        given = [digest for digest, each in self._exchanges.items() if f"worker:{each.answer.worker_id}" in owners]
        for digest in given:
            del self._exchanges[digest]

    def _forget_expired(self, now_ms: int) -> None:
        # All are remembered equally long, so the first is the next to go.
        while self._exchanges and next(iter(self._exchanges.values())).until_ms <= now_ms:
            del self._exchanges[next(iter(self._exchanges))]
        while self._by_expiry and self._by_expiry[0][0] <= now_ms:
            expires_at_ms, digest = heappop(self._by_expiry)
            record = self._unspent.get(digest)
            if record and record.expires_at_ms == expires_at_ms:
                del self._unspent[digest]
