"""What every `TokenStore` must do. A binding gives the `tokens` fixture: a new, empty store."""

from __future__ import annotations

import asyncio

import pytest

from taskrun.domain.certificates.certificate import Certificate
from taskrun.ports.enrollment import Enrollment, Exchange, TokenRecord, TokenStore

A = TokenRecord(b"a" * 32, "worker-a", expires_at_ms=1_000)
B = TokenRecord(b"b" * 32, "worker-b", expires_at_ms=2_000)
EXCHANGE = Exchange(b"r" * 32, Enrollment("worker-a", b"the certificate", b"the CA"), until_ms=5_000)
ANOTHER = Exchange(b"s" * 32, Enrollment("worker-b", b"another", b"the CA"), until_ms=6_000)
CERTIFICATE = Certificate("c1", "worker:worker-a", issued_at_ms=0, not_after_ms=10_000)
OTHER = Certificate("c2", "worker:worker-b", issued_at_ms=0, not_after_ms=10_000)


class TokenStoreContract:
    """Sign it by subclassing with a `tokens` fixture."""

    async def test_a_token_that_was_put_is_found(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        assert await tokens.find(A.digest, now_ms=0) == A

    async def test_an_unknown_token_is_not_found(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        assert await tokens.find(B.digest, now_ms=0) is None

    async def test_an_unknown_token_cannot_be_spent(self, tokens: TokenStore) -> None:
        assert not await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)

    async def test_finding_does_not_spend(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.find(A.digest, now_ms=0)
        assert await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)

    async def test_a_spent_token_is_found_no_more(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)
        assert await tokens.find(A.digest, now_ms=0) is None

    async def test_a_token_is_spent_once(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        assert await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)
        assert not await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)

    async def test_of_two_hundred_at_once_one_spends_it(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        answers = await asyncio.gather(*(tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0) for _ in range(200)))
        assert answers.count(True) == 1

    async def test_spending_one_leaves_the_others(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.put(B)
        await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)
        assert await tokens.find(B.digest, now_ms=0) == B

    @pytest.mark.parametrize(("now_ms", "good"), [(999, True), (1_000, False), (1_001, False)])
    async def test_a_token_is_found_only_before_it_expires(self, tokens: TokenStore, now_ms: int, good: bool) -> None:
        await tokens.put(A)
        assert (await tokens.find(A.digest, now_ms) == A) is good

    @pytest.mark.parametrize(("now_ms", "good"), [(999, True), (1_000, False), (1_001, False)])
    async def test_a_token_is_spent_only_before_it_expires(self, tokens: TokenStore, now_ms: int, good: bool) -> None:
        await tokens.put(A)
        assert await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms) is good

    async def test_the_expiry_of_one_leaves_the_others(self, tokens: TokenStore) -> None:
        await tokens.put(B)
        await tokens.put(A)
        assert await tokens.find(A.digest, now_ms=1_500) is None
        assert await tokens.find(B.digest, now_ms=1_500) == B

    async def test_what_a_token_was_spent_on_is_remembered(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)
        assert await tokens.spent_on(A.digest, now_ms=0) == EXCHANGE

    async def test_an_unspent_or_unknown_token_was_spent_on_nothing(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        assert await tokens.spent_on(A.digest, now_ms=0) is None
        assert await tokens.spent_on(B.digest, now_ms=0) is None

    async def test_a_token_stays_spent_on_what_it_was_spent_on_first(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)
        await tokens.spend(A.digest, ANOTHER, OTHER, now_ms=0)
        assert await tokens.spent_on(A.digest, now_ms=0) == EXCHANGE

    async def test_what_each_token_was_spent_on_is_told_apart(self, tokens: TokenStore) -> None:
        await tokens.put(A)
        await tokens.put(B)
        await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)
        await tokens.spend(B.digest, ANOTHER, OTHER, now_ms=0)
        assert await tokens.spent_on(A.digest, now_ms=0) == EXCHANGE
        assert await tokens.spent_on(B.digest, now_ms=0) == ANOTHER

    @pytest.mark.parametrize(("now_ms", "known"), [(4_999, True), (5_000, False), (5_001, False)])
    async def test_what_a_token_was_spent_on_is_told_until_its_time_though_the_token_has_expired(
        self, tokens: TokenStore, now_ms: int, known: bool
    ) -> None:
        await tokens.put(A)
        await tokens.spend(A.digest, EXCHANGE, CERTIFICATE, now_ms=0)
        assert (await tokens.spent_on(A.digest, now_ms) == EXCHANGE) is known
