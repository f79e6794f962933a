"""What every `CertificateStore` must do, with the `TokenStore` beside it.

A binding gives the `stores` fixture: both of them, new and empty, on one place.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from taskrun.domain.certificates.certificate import LISTED_MS, Certificate, CertificateQuery, Revocation
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import Identity, Role
from taskrun.ports.certificates import CertificateStore
from taskrun.ports.enrollment import TokenStore
from taskrun.testing.contracts.token_store import EXCHANGE, A, B

#: By the token A.
FIRST = Certificate("a1", "worker:worker-a", issued_at_ms=900, not_after_ms=90_000)
NEXT = Certificate("a2", "worker:worker-a", issued_at_ms=5_000, not_after_ms=99_000)
OTHERS = Certificate("b1", "worker:worker-b", issued_at_ms=5_000, not_after_ms=99_000)
ALL_OF_A = Revocation(at_ms=7_000, owner="worker:worker-a")
EVERYTHING = CertificateQuery(limit=100)


class Stores(NamedTuple):
    """Both stores on one place."""

    certificates: CertificateStore
    tokens: TokenStore


class CertificateStoreContract:
    """Sign it by subclassing with a `stores` fixture."""

    async def test_the_certificate_is_recorded_with_the_token_that_is_spent_on_it(self, stores: Stores) -> None:
        await enrol(stores)
        assert await listed(stores) == [FIRST]

    async def test_a_token_that_cannot_be_spent_records_nothing(self, stores: Stores) -> None:
        assert not await stores.tokens.spend(A.digest, EXCHANGE, FIRST, now_ms=0)
        await enrol(stores)
        assert not await stores.tokens.spend(A.digest, EXCHANGE, NEXT, now_ms=0)
        assert await listed(stores) == [FIRST]

    async def test_of_many_that_spend_a_token_at_once_one_certificate_is_recorded(self, stores: Stores) -> None:
        await stores.tokens.put(A)
        made = [Certificate(f"{number + 16:x}", FIRST.owner, 900, 90_000) for number in range(50)]
        answers = await asyncio.gather(*(stores.tokens.spend(A.digest, EXCHANGE, each, 0) for each in made))
        assert await listed(stores) == [made[answers.index(True)]]

    async def test_a_renewed_certificate_stands_beside_the_old_one(self, stores: Stores) -> None:
        await enrol(stores)
        assert await stores.certificates.renew(NEXT, FIRST.identity)
        assert await listed(stores) == [NEXT, FIRST]

    async def test_one_that_was_issued_before_anything_was_recorded_can_be_renewed(self, stores: Stores) -> None:
        assert await stores.certificates.renew(NEXT, Identity(Role.WORKER, "worker-a", 9_000, "abc", 1_000))
        assert await listed(stores) == [NEXT]

    async def test_one_that_is_recorded_is_known_by_its_serial_number(self, stores: Stores) -> None:
        await enrol(stores)
        await stores.certificates.revoke(ALL_OF_A)
        assert [await stores.certificates.has(serial) for serial in ("a1", "a2", "", "A1")] == [
            True,
            False,
            False,
            False,
        ]

    # Revoking.

    async def test_revoking_an_owner_marks_what_it_has_and_nothing_else(self, stores: Stores) -> None:
        await three(stores)
        assert await stores.certificates.revoke(ALL_OF_A) == [marked(NEXT), marked(FIRST)]
        assert await listed(stores) == [marked(NEXT), OTHERS, marked(FIRST)]

    async def test_revoking_one_certificate_marks_that_alone(self, stores: Stores) -> None:
        await three(stores)
        assert await stores.certificates.revoke(Revocation(7_000, serial="a2")) == [marked(NEXT)]
        assert await listed(stores) == [marked(NEXT), OTHERS, FIRST]

    async def test_what_is_revoked_is_not_marked_again(self, stores: Stores) -> None:
        await three(stores)
        await stores.certificates.revoke(Revocation(6_000, serial="a1"))
        assert await stores.certificates.revoke(ALL_OF_A) == [marked(NEXT)]
        assert await stores.certificates.revoke(Revocation(8_000, serial="a2")) == []
        assert [each.revoked_at_ms for each in await listed(stores)] == [7_000, 0, 6_000]

    async def test_what_was_revoked_is_told_in_order_also_by_each_serial_number(self, stores: Stores) -> None:
        await three(stores)
        await stores.certificates.revoke(Revocation(6_000, serial="unknown"))
        await stores.certificates.revoke(ALL_OF_A)
        told = await stores.certificates.revocations()
        assert [(each.owner, each.serial) for each in told[:2]] == [("", "unknown"), ("worker:worker-a", "")]
        assert {each.serial for each in told[2:]} == {"a1", "a2"}
        numbers = [each.number for each in told]
        assert numbers == sorted(set(numbers))
        assert min(numbers) > 0

    async def test_only_what_was_revoked_since_is_told(self, stores: Stores) -> None:
        await stores.certificates.revoke(Revocation(6_000, serial="one"))
        [one] = await stores.certificates.revocations()
        assert await stores.certificates.revocations(one.number) == []
        await stores.certificates.revoke(Revocation(6_000, serial="two"))
        assert [each.serial for each in await stores.certificates.revocations(one.number)] == ["two"]

    async def test_a_revoked_certificate_is_not_renewed(self, stores: Stores) -> None:
        await enrol(stores)
        await stores.certificates.revoke(Revocation(4_000, serial="a1"))
        assert not await stores.certificates.renew(NEXT, FIRST.identity)
        assert await listed(stores) == [marked(FIRST, 4_000)]

    async def test_nor_is_one_that_nobody_recorded_of_an_owner_that_was_revoked(self, stores: Stores) -> None:
        await stores.certificates.revoke(Revocation(4_000, owner="worker:worker-a"))
        assert not await stores.certificates.renew(NEXT, Identity(Role.WORKER, "worker-a", 9_000, "abc", 3_000))
        assert await stores.certificates.renew(NEXT, Identity(Role.WORKER, "worker-a", 9_000, "abc", 4_000))

    async def test_what_was_signed_before_its_owner_was_revoked_is_not_recorded_afterwards(
        self, stores: Stores
    ) -> None:
        await stores.certificates.revoke(ALL_OF_A)
        await stores.tokens.put(A)
        assert not await stores.tokens.spend(A.digest, EXCHANGE, NEXT, now_ms=0)
        assert await listed(stores) == []

    async def test_who_enrols_again_after_a_revocation_is_welcome(self, stores: Stores) -> None:
        await enrol(stores)
        await stores.certificates.revoke(ALL_OF_A)
        again = Certificate("a3", "worker:worker-a", issued_at_ms=7_001, not_after_ms=99_000)
        await stores.tokens.put(A)
        assert await stores.tokens.spend(A.digest, EXCHANGE, again, now_ms=0)
        assert await listed(stores) == [again, marked(FIRST)]

    async def test_revoking_an_owner_forgets_its_tokens_and_no_others(self, stores: Stores) -> None:
        await stores.tokens.put(A)
        await stores.tokens.put(B)
        await stores.certificates.revoke(ALL_OF_A)
        assert await stores.tokens.find(A.digest, now_ms=0) is None
        assert await stores.tokens.find(B.digest, now_ms=0) == B

    async def test_revoking_one_certificate_leaves_the_tokens(self, stores: Stores) -> None:
        await enrol(stores)
        await stores.tokens.put(A)
        await stores.certificates.revoke(Revocation(7_000, serial="a1"))
        assert await stores.tokens.find(A.digest, now_ms=0) == A

    @pytest.mark.parametrize("revocation", [ALL_OF_A, Revocation(7_000, serial="a1")], ids=["owner", "serial"])
    async def test_an_answer_whose_certificate_is_revoked_is_not_given_again(
        self, stores: Stores, revocation: Revocation
    ) -> None:
        await enrol(stores)
        assert await stores.tokens.spent_on(A.digest, now_ms=0) == EXCHANGE
        await stores.certificates.revoke(revocation)
        assert await stores.tokens.spent_on(A.digest, now_ms=0) is None
        assert not await stores.tokens.spend(A.digest, EXCHANGE, NEXT, now_ms=0)

    @pytest.mark.parametrize(
        "revocation",
        [Revocation(7_000, owner="worker:worker-b"), Revocation(7_000, serial="b1"), Revocation(7_000, serial="c0")],
        ids=["owner", "serial", "unknown"],
    )
    async def test_an_answer_is_given_again_whatever_of_others_is_revoked(
        self, stores: Stores, revocation: Revocation
    ) -> None:
        await three(stores)
        await stores.certificates.revoke(revocation)
        assert await stores.tokens.spent_on(A.digest, now_ms=0) == EXCHANGE

    async def test_who_enrols_again_after_a_revocation_may_lose_the_answer(self, stores: Stores) -> None:
        await enrol(stores)
        await stores.certificates.revoke(ALL_OF_A)
        await stores.tokens.put(A)
        again = Certificate("a3", FIRST.owner, issued_at_ms=7_001, not_after_ms=99_000)
        assert await stores.tokens.spend(A.digest, EXCHANGE, again, now_ms=0)
        assert await stores.tokens.spent_on(A.digest, now_ms=0) == EXCHANGE

    async def test_whatever_is_renewed_while_its_owner_is_revoked_is_marked_or_not_there(self, stores: Stores) -> None:
        await enrol(stores)
        made = [Certificate(f"{number + 16:x}", FIRST.owner, 6_999, 90_000) for number in range(30)]
        renewing = [stores.certificates.renew(each, FIRST.identity) for each in made]
        await asyncio.gather(*renewing[:15], stores.certificates.revoke(ALL_OF_A), *renewing[15:])
        assert all(each.revoked_at_ms for each in await listed(stores))

    # Listing.

    async def test_pages_hold_all_newest_first_each_once(self, stores: Stores) -> None:
        made = [Certificate(f"{number + 16:x}", "worker:w", number // 3, 90_000) for number in range(10)]
        await fill(stores, made)
        token = ""
        seen: list[Certificate] = []
        for _ in range(4):
            page = await stores.certificates.find(CertificateQuery(limit=3, page_token=token))
            seen += page.certificates
            token = page.next_page_token
        assert token == ""
        assert seen == sorted(made, key=lambda each: (-each.issued_at_ms, each.serial))

    async def test_only_an_owner_s_are_listed_if_one_is_given(self, stores: Stores) -> None:
        await three(stores)
        page = await stores.certificates.find(CertificateQuery("worker:worker-a", 1))
        assert page.certificates == (NEXT,)
        page = await stores.certificates.find(CertificateQuery("worker:worker-a", 1, page.next_page_token))
        assert page.certificates == (FIRST,)
        assert page.next_page_token == ""

    @pytest.mark.parametrize("token", ["?", "YWZ0ZXI6eA", "YWZ0ZXI6eDp5", "YWZ0ZXI6NToA"])
    async def test_what_is_no_page_token_is_refused(self, stores: Stores, token: str) -> None:
        with pytest.raises(InvalidArgument):
            await stores.certificates.find(CertificateQuery(limit=1, page_token=token))

    async def test_a_month_after_its_end_a_certificate_is_forgotten(self, stores: Stores) -> None:
        late = Certificate("c1", "worker:w", FIRST.not_after_ms + LISTED_MS - 1, 2**50)
        last = Certificate("c2", "worker:w", FIRST.not_after_ms + LISTED_MS, 2**50)
        await enrol(stores)
        await fill(stores, [late])
        assert await listed(stores) == [late, FIRST]
        await fill(stores, [last])
        assert await listed(stores) == [last, late]


def marked(certificate: Certificate, at_ms: int = ALL_OF_A.at_ms) -> Certificate:
    """As it is once it was revoked."""
    return Certificate(certificate.serial, certificate.owner, certificate.issued_at_ms, certificate.not_after_ms, at_ms)


async def enrol(stores: Stores) -> None:
    """Spends the token A on the certificate FIRST."""
    await stores.tokens.put(A)
    assert await stores.tokens.spend(A.digest, EXCHANGE, FIRST, now_ms=0)


async def fill(stores: Stores, certificates: list[Certificate]) -> None:
    """Records them as renewed ones."""
    for certificate in certificates:
        assert await stores.certificates.renew(certificate, certificate.identity)


async def three(stores: Stores) -> None:
    """FIRST and NEXT of one worker, OTHERS of another."""
    await enrol(stores)
    await fill(stores, [NEXT, OTHERS])


async def listed(stores: Stores) -> list[Certificate]:
    """All that are recorded, newest first."""
    return list((await stores.certificates.find(EVERYTHING)).certificates)
