"""What every `TokenStore` must do. A binding gives the `tokens` fixture: a new, empty store."""

from __future__ import annotations

import asyncio

import pytest

from taskrun.ports.enrollment import TokenRecord, TokenStore

A = TokenRecord(b"a" * 32, "worker-a", expires_at_ms=1_000)
B = TokenRecord(b"b" * 32, "worker-b", expires_at_ms=2_000)


class TokenStoreContract:
    """Sign it by subclassing with a `tokens` fixture."""

    async def test_a_token_that_was_put_is_found(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        assert await tokens.find(A.digest, now_ms=0) == A

    async def test_an_unknown_token_is_not_found(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        assert await tokens.find(B.digest, now_ms=0) is None

    async def test_an_unknown_token_cannot_be_spent(self, tokens: TokenStore) -> None:
        assert not await tokens.spend(A.digest, now_ms=0)

    async def test_finding_does_not_spend(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.find(A.digest, now_ms=0)
        assert await tokens.spend(A.digest, now_ms=0)

    async def test_a_spent_token_is_found_no_more(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.spend(A.digest, now_ms=0)
        assert await tokens.find(A.digest, now_ms=0) is None

    async def test_a_token_is_spent_once(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        assert await tokens.spend(A.digest, now_ms=0)
        assert not await tokens.spend(A.digest, now_ms=0)

    async def test_of_two_hundred_at_once_one_spends_it(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        answers = await asyncio.gather(*(tokens.spend(A.digest, now_ms=0) for _ in range(200)))
        assert answers.count(True) == 1

    async def test_spending_one_leaves_the_others(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.put(B)
        await tokens.spend(A.digest, now_ms=0)
        assert await tokens.find(B.digest, now_ms=0) == B

    @pytest.mark.parametrize(("now_ms", "good"), [(999, True), (1_000, False), (1_001, False)])
    async def test_a_token_is_found_only_before_it_expires(self, tokens: TokenStore, now_ms: int, good: bool) -> None:
        await tokens.put(A)
        assert (await tokens.find(A.digest, now_ms) == A) is good

    @pytest.mark.parametrize(("now_ms", "good"), [(999, True), (1_000, False), (1_001, False)])
    async def test_a_token_is_spent_only_before_it_expires(self, tokens: TokenStore, now_ms: int, good: bool) -> None:
        await tokens.put(A)
        assert await tokens.spend(A.digest, now_ms) is good

    async def test_the_expiry_of_one_leaves_the_others(self, tokens: TokenStore) -> None:
        await tokens.put(B)
        await tokens.put(A)
        assert await tokens.find(A.digest, now_ms=1_500) is None
        assert await tokens.find(B.digest, now_ms=1_500) == B
