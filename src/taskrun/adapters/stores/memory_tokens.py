"""Bootstrap tokens in memory: a restart forgets them, and their owner makes new ones."""

from __future__ import annotations

from heapq import heappop, heappush

from taskrun.ports.enrollment import TokenRecord


class MemoryTokenStore:
    """Implements `TokenStore`. Every call is O(log n); expired tokens are forgotten as time passes."""

    def __init__(self) -> None:
        self._unspent: dict[bytes, TokenRecord] = {}
        #: (expires_at_ms, digest); may name tokens that are spent already.
        self._by_expiry: list[tuple[int, bytes]] = []

    async def put(self, record: TokenRecord) -> None:
        """Keeps it."""
        self._unspent[record.digest] = record
        heappush(self._by_expiry, (record.expires_at_ms, record.digest))

    async def find(self, digest: bytes, now_ms: int) -> TokenRecord | None:
        """The unspent, unexpired token of that digest."""
        self._forget_expired(now_ms)
        return self._unspent.get(digest)

    async def spend(self, digest: bytes, now_ms: int) -> bool:
        """Takes it out. True for exactly one caller, and only before it expires."""
        self._forget_expired(now_ms)
        return self._unspent.pop(digest, None) is not None

    def _forget_expired(self, now_ms: int) -> None:
        while self._by_expiry and self._by_expiry[0][0] <= now_ms:
            expires_at_ms, digest = heappop(self._by_expiry)
            record = self._unspent.get(digest)
            if record and record.expires_at_ms == expires_at_ms:
                del self._unspent[digest]
