"""What every `ApiKeyStore` must do. A binding gives the `keys` fixture: a new, empty store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from taskrun.domain.api_keys import LISTED_MS, ApiKey
from taskrun.domain.identity import CLIENT_ROLES, Role
from taskrun.ports.api_keys import ApiKeyStore

A = ApiKey("a", Role.SUBMIT, b"a" * 32, created_at_ms=10, expires_at_ms=1_000, created_by="admin")
B = ApiKey("b", Role.READ, b"b" * 32, created_at_ms=20, expires_at_ms=2_000, created_by="ann")
A_ANEW = replace(A, role=Role.READ, digest=b"c" * 32, created_at_ms=500, expires_at_ms=9_000, created_by="bob")


class ApiKeyStoreContract:
    """Sign it by subclassing with a `keys` fixture."""

    async def test_a_key_that_was_put_is_found_by_its_digest(self, keys: ApiKeyStore) -> None:
        assert await keys.put(A, now_ms=0)
        assert await keys.put(B, now_ms=0)
        assert await keys.find(A.digest) == A
        assert await keys.find(B.digest) == B

    async def test_an_unknown_digest_finds_nothing(self, keys: ApiKeyStore) -> None:
        await keys.put(A, now_ms=0)
        assert await keys.find(B.digest) is None

    @pytest.mark.parametrize("role", CLIENT_ROLES)
    async def test_its_role_is_kept(self, keys: ApiKeyStore, role: Role) -> None:
        key = replace(A, role=role)
        await keys.put(key, now_ms=0)
        assert await keys.find(A.digest) == key

    async def test_all_are_listed_by_name(self, keys: ApiKeyStore) -> None:
        shouting = replace(A, name="B", digest=b"d" * 32)
        for key in (B, A, shouting):
            await keys.put(key, now_ms=0)
        assert list(await keys.all()) == [shouting, A, B]

    async def test_a_new_store_lists_none(self, keys: ApiKeyStore) -> None:
        assert list(await keys.all()) == []

    async def test_the_name_of_a_good_key_is_taken(self, keys: ApiKeyStore) -> None:
        await keys.put(A, now_ms=0)
        assert not await keys.put(A_ANEW, now_ms=999)
        assert list(await keys.all()) == [A]
        assert await keys.find(A_ANEW.digest) is None

    async def test_the_name_of_an_expired_key_can_be_had_again(self, keys: ApiKeyStore) -> None:
        await keys.put(A, now_ms=0)
        assert await keys.put(A_ANEW, now_ms=1_000)
        assert list(await keys.all()) == [A_ANEW]
        assert await keys.find(A.digest) is None
        assert await keys.find(A_ANEW.digest) == A_ANEW

    async def test_the_name_of_a_revoked_key_can_be_had_again(self, keys: ApiKeyStore) -> None:
        await keys.put(A, now_ms=0)
        await keys.revoke("a", now_ms=100)
        assert await keys.put(A_ANEW, now_ms=100)
        assert list(await keys.all()) == [A_ANEW]

    async def test_of_twenty_at_once_one_gets_the_name(self, keys: ApiKeyStore) -> None:
        wanted = [replace(A, digest=bytes([number]) * 32) for number in range(20)]
        answers = await asyncio.gather(*(keys.put(key, now_ms=0) for key in wanted))
        assert answers.count(True) == 1
        assert list(await keys.all()) == [wanted[answers.index(True)]]

    async def test_a_revoked_key_says_when(self, keys: ApiKeyStore) -> None:
        await keys.put(A, now_ms=0)
        await keys.put(B, now_ms=0)
        revoked = replace(A, revoked_at_ms=100)
        assert await keys.revoke("a", now_ms=100) == revoked
        assert await keys.find(A.digest) == revoked
        assert await keys.find(B.digest) == B

    async def test_revoking_again_changes_nothing(self, keys: ApiKeyStore) -> None:
        await keys.put(A, now_ms=0)
        revoked = await keys.revoke("a", now_ms=100)
        assert await keys.revoke("a", now_ms=200) == revoked

    async def test_what_is_not_there_cannot_be_revoked(self, keys: ApiKeyStore) -> None:
        await keys.put(A, now_ms=0)
        assert await keys.revoke("b", now_ms=100) is None

    @pytest.mark.parametrize("revoked_at_ms", [0, 1_000])
    async def test_what_ended_long_ago_is_forgotten(self, keys: ApiKeyStore, revoked_at_ms: int) -> None:
        ends = 1_000
        await keys.put(replace(A, expires_at_ms=ends if not revoked_at_ms else 2_000), now_ms=0)
        if revoked_at_ms:
            await keys.revoke("a", revoked_at_ms)
        far = replace(B, expires_at_ms=LISTED_MS * 9)
        await keys.put(far, now_ms=ends + LISTED_MS - 1)
        assert len(await keys.all()) == 2
        await keys.put(replace(far, name="c", digest=b"e" * 32), now_ms=ends + LISTED_MS)
        assert [key.name for key in await keys.all()] == ["b", "c"]
        assert await keys.find(A.digest) is None
