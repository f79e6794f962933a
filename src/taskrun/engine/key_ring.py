"""API keys are made, shown, listed and revoked. Each look goes to the store: a revoked key is worthless at once, on
every control plane that shares it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_bytes

from taskrun.domain.api_keys import ApiKey, KeyState, compose, digest_of, new_key
from taskrun.domain.errors import AlreadyExists, NotFound, Unauthenticated
from taskrun.domain.identity import Role, check_client_name
from taskrun.ports.api_keys import ApiKeyStore, NewApiKey
from taskrun.ports.clock import Clock


class KeyRing:
    """Implements `ApiKeys`. `secret` gives 32 unpredictable bytes at each call."""

    def __init__(self, store: ApiKeyStore, clock: Clock, secret: Callable[[], bytes] = token_bytes) -> None:
        self._store, self._clock, self._secret = store, clock, secret

    async def create(self, name: str, role: Role, ttl_ms: int, created_by: str) -> NewApiKey:
        """See `ApiKeys.create`."""
        secret, now_ms = self._secret(), self._clock.now().utc_ms
        key = new_key(name, role, secret, now_ms, ttl_ms, created_by)
        if not await self._store.put(key, now_ms):
            raise AlreadyExists(f"The API key {name} is still good: revoke it first, or take another name.")
        return NewApiKey(compose(secret), key)

    async def list(self) -> Sequence[ApiKey]:
        """See `ApiKeys.list`."""
        return await self._store.all()

    async def revoke(self, name: str) -> ApiKey:
        """See `ApiKeys.revoke`."""
        check_client_name(name)
        key = await self._store.revoke(name, self._clock.now().utc_ms)
        if key is None:
            raise NotFound("There is no API key of that name.")
        return key

    async def authenticate(self, text: str) -> ApiKey:
        """See `ApiKeys.authenticate`."""
        digest = digest_of(text)
        key = await self._store.find(digest) if digest else None
        if key is None or key.state(self._clock.now().utc_ms) is not KeyState.VALID:
            raise Unauthenticated("The API key is unknown, expired or revoked.")
        return key
