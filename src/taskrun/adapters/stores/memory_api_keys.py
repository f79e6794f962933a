"""API keys in memory: a restart forgets them, and an admin makes new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from taskrun.domain.api_keys import LISTED_MS, ApiKey, KeyState


class MemoryApiKeyStore:
    """Implements `ApiKeyStore`. A look is O(1); what an admin does is O(n)."""

    def __init__(self) -> None:
        self._by_name: dict[str, ApiKey] = {}
        self._by_digest: dict[bytes, ApiKey] = {}

    async def put(self, key: ApiKey, now_ms: int) -> bool:
        """See `ApiKeyStore.put`."""
        for old in list(self._by_name.values()):
            if (old.revoked_at_ms or old.expires_at_ms) <= now_ms - LISTED_MS:
                self._forget(old.name)
        known = self._by_name.get(key.name)
        if known is not None and known.state(now_ms) is KeyState.VALID:
            return False
        self._forget(key.name)
        self._keep(key)
        return True

    async def find(self, digest: bytes) -> ApiKey | None:
        """See `ApiKeyStore.find`."""
        return self._by_digest.get(digest)

    async def all(self) -> Sequence[ApiKey]:
        """See `ApiKeyStore.all`."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    async def revoke(self, name: str, now_ms: int) -> ApiKey | None:
        """See `ApiKeyStore.revoke`."""
        key = self._by_name.get(name)
        if key is not None and not key.revoked_at_ms:
            self._keep(replace(key, revoked_at_ms=now_ms))
        return self._by_name.get(name)

    def _keep(self, key: ApiKey) -> None:
        self._by_name[key.name] = self._by_digest[key.digest] = key

    def _forget(self, name: str) -> None:
        key = self._by_name.pop(name, None)
        if key is not None:
            del self._by_digest[key.digest]
