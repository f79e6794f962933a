from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from loguru import logger

from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.domain import tokens
from taskrun.domain.certificates.certificate import Certificate, CertificateQuery, Revocation
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, TaskRunError, Unauthenticated
from taskrun.domain.limits import check_worker_id
from taskrun.engine.enrollment import Enroller
from taskrun.ports.authority import IssuedCertificate
from taskrun.ports.enrollment import Enrollment, TokenRecord
from taskrun.testing.clock import JumpingClock

HOUR_MS = 3_600_000
PIN = "ab" * 32
CSR, OTHER_CSR, BAD_CSR = b"a request", b"another request", b"a bad request"


@dataclass
class StubAuthority:
    """Signs all but one request, and remembers for whom."""

    signed: list[str] = field(default_factory=list)
    broken: bool = False

    def certificate_pem(self) -> bytes:
        return b"the CA"

    def fingerprint(self) -> str:
        return PIN

    def check_request(self, csr_pem: bytes) -> bytes:
        """What is before a slash in a request is its key."""
        if csr_pem == BAD_CSR:
            raise InvalidArgument("bad")
        return csr_pem.partition(b"/")[0]

    def sign_worker(self, csr_pem: bytes, worker_id: str) -> IssuedCertificate:
        self.check_request(csr_pem)
        if self.broken:
            raise FailedPrecondition("The CA has expired.")
        self.signed.append(worker_id)
        return IssuedCertificate(b"certificate %d of %s" % (len(self.signed), csr_pem), f"{len(self.signed)}f", 0)


class SlowTokenStore(MemoryTokenStore):
    """Lets others run before each answer, as one on a network does."""

    async def find(self, digest: bytes, now_ms: int) -> TokenRecord | None:
        record = await super().find(digest, now_ms)
        await asyncio.sleep(0)
        return record


@pytest.fixture
def authority() -> StubAuthority:
    return StubAuthority()


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def enroller(authority: StubAuthority, clock: JumpingClock) -> Enroller:
    ids = count()
    return Enroller(authority, MemoryTokenStore(), clock, lambda: f"id {next(ids)}")


async def refusal_of(enroller: Enroller, token: str, csr: bytes = CSR) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        await enroller.enroll(token, csr)
    return refusal.value.message


async def test_a_token_is_exchanged_for_a_certificate_in_its_worker_s_name(enroller: Enroller) -> None:
    made = await enroller.create_token("w-1")
    assert await enroller.enroll(made.token, CSR) == Enrollment("w-1", b"certificate 1 of a request", b"the CA")


async def test_the_certificate_is_recorded_with_its_owner_and_times(
    authority: StubAuthority, clock: JumpingClock
) -> None:
    recorded = MemoryCertificateStore()
    enroller = Enroller(authority, MemoryTokenStore(recorded), clock, lambda: "id")
    await enroller.enroll((await enroller.create_token("w-1")).token, CSR)
    page = await recorded.find(CertificateQuery(limit=10))
    assert page.certificates == (Certificate("1f", "worker:w-1", clock.now().utc_ms, 0),)


async def test_a_token_carries_the_pin_of_the_ca(enroller: Enroller) -> None:
    made = await enroller.create_token("w-1")
    assert tokens.split(made.token)[1] == PIN


async def test_only_the_digest_of_a_token_is_stored(authority: StubAuthority, clock: JumpingClock) -> None:
    store = MemoryTokenStore()
    made = await Enroller(authority, store, clock, lambda: "id", lambda: b"s" * 32).create_token("w-1")
    record = await store.find(tokens.digest(b"s" * 32), clock.now().utc_ms)
    assert record is not None
    assert made.token not in repr(record)
    assert record.digest != b"s" * 32


async def test_two_tokens_have_nothing_in_common(enroller: Enroller) -> None:
    first, second = [(await enroller.create_token("w-1")).token for _ in range(2)]
    assert tokens.split(first)[0] != tokens.split(second)[0]


async def test_a_worker_without_a_name_gets_a_good_one_of_its_own(enroller: Enroller) -> None:
    names = {(await enroller.create_token()).worker_id for _ in range(50)}
    assert len(names) == 50
    for name in names:
        check_worker_id(name)


@pytest.mark.parametrize("worker_id", ["UPPER", "-w", "ü", "a b", "worker:a", "w\x00", "w" * 58, "w\n"])
async def test_a_bad_worker_id_gets_no_token(enroller: Enroller, worker_id: str) -> None:
    with pytest.raises(InvalidArgument):
        await enroller.create_token(worker_id)


@pytest.mark.parametrize("ttl_ms", [-1, 1, 999, 7 * 24 * HOUR_MS + 1])
async def test_a_lifetime_out_of_range_gets_no_token(enroller: Enroller, ttl_ms: int) -> None:
    with pytest.raises(InvalidArgument):
        await enroller.create_token("w-1", ttl_ms)


@pytest.mark.parametrize(("asked_ms", "lives_ms"), [(0, HOUR_MS), (1_000, 1_000), (7 * 24 * HOUR_MS, 7 * 24 * HOUR_MS)])
async def test_a_token_lives_as_long_as_asked_and_an_hour_by_default(
    enroller: Enroller, clock: JumpingClock, asked_ms: int, lives_ms: int
) -> None:
    made = await enroller.create_token("w-1", asked_ms)
    assert made.expires_at_ms == clock.now().utc_ms + lives_ms


async def test_unknown_expired_used_and_malformed_tokens_are_refused_in_the_same_words(
    enroller: Enroller, clock: JumpingClock
) -> None:
    used, expired = await enroller.create_token("w-1", 10 * HOUR_MS), await enroller.create_token("w-2", HOUR_MS)
    await enroller.enroll(used.token, CSR)
    await clock.advance(3600)
    unknown = tokens.compose(b"?" * 32, PIN)
    words = [await refusal_of(enroller, token) for token in (used.token, expired.token, unknown, "", "é" * 10_000)]
    assert words == ["The bootstrap token is unknown, expired or already used."] * 5


async def test_a_bad_request_does_not_spend_the_token(enroller: Enroller) -> None:
    made = await enroller.create_token("w-1")
    with pytest.raises(InvalidArgument):
        await enroller.enroll(made.token, BAD_CSR)
    assert (await enroller.enroll(made.token, CSR)).worker_id == "w-1"


async def test_a_ca_that_cannot_sign_does_not_spend_the_token(enroller: Enroller, authority: StubAuthority) -> None:
    made = await enroller.create_token("w-1")
    authority.broken = True
    with pytest.raises(FailedPrecondition):
        await enroller.enroll(made.token, CSR)
    authority.broken = False
    assert (await enroller.enroll(made.token, CSR)).worker_id == "w-1"


async def test_a_lost_answer_is_given_again_for_ten_minutes(enroller: Enroller, clock: JumpingClock) -> None:
    made = await enroller.create_token("w-1")
    answer = await enroller.enroll(made.token, CSR)
    await clock.advance(599)
    assert await enroller.enroll(made.token, CSR) == answer
    # By the same key, signed once more: what is signed so is never the same twice.
    assert await enroller.enroll(made.token, CSR + b"/2") == answer
    await clock.advance(1)
    await refusal_of(enroller, made.token)


async def test_an_answer_whose_certificate_was_revoked_meanwhile_is_not_given_again(
    authority: StubAuthority, clock: JumpingClock
) -> None:
    certificates = MemoryCertificateStore()
    enroller = Enroller(authority, MemoryTokenStore(certificates), clock, lambda: "id")
    made, other = await enroller.create_token("w-1"), await enroller.create_token("w-2")
    for token in (made, other):
        await enroller.enroll(token.token, CSR)
    await certificates.revoke(Revocation(clock.now().utc_ms, owner="worker:w-1"))
    unknown = await refusal_of(enroller, tokens.compose(b"?" * 32, PIN))
    assert await refusal_of(enroller, made.token) == unknown
    assert (await enroller.enroll(other.token, CSR)).worker_id == "w-2"
    assert authority.signed == ["w-1", "w-2"]


async def test_a_used_token_with_another_key_is_refused_in_the_same_words(enroller: Enroller) -> None:
    made = await enroller.create_token("w-1")
    answer = await enroller.enroll(made.token, CSR)
    unknown = await refusal_of(enroller, tokens.compose(b"?" * 32, PIN))
    assert await refusal_of(enroller, made.token, OTHER_CSR) == unknown
    assert await enroller.enroll(made.token, CSR) == answer


async def test_a_request_repeated_while_it_is_under_way_gets_one_certificate(
    authority: StubAuthority, clock: JumpingClock
) -> None:
    enroller = Enroller(authority, SlowTokenStore(), clock, lambda: "id")
    made = await enroller.create_token("w-1")
    answers = await asyncio.gather(*(enroller.enroll(made.token, CSR) for _ in range(20)))
    assert len(set(answers)) == 1


async def test_without_a_good_token_nothing_is_signed(enroller: Enroller, authority: StubAuthority) -> None:
    await refusal_of(enroller, tokens.compose(b"?" * 32, PIN))
    assert authority.signed == []


async def test_of_two_hundred_calls_at_once_with_one_token_one_gets_a_certificate(
    enroller: Enroller, authority: StubAuthority
) -> None:
    made = await enroller.create_token("w-1")
    calls = [enroller.enroll(made.token, b"request %d" % number) for number in range(200)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, Enrollment) for answer in answers) == 1
    assert sum(isinstance(answer, Unauthenticated) for answer in answers) == 199
    assert authority.signed == ["w-1"]


async def test_of_two_hundred_calls_one_gets_a_certificate_though_the_store_lets_all_see_the_token(
    authority: StubAuthority, clock: JumpingClock
) -> None:
    enroller = Enroller(authority, SlowTokenStore(), clock, lambda: "id")
    made = await enroller.create_token("w-1")
    calls = [enroller.enroll(made.token, b"request %d" % number) for number in range(200)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, Enrollment) for answer in answers) == 1
    assert sum(isinstance(answer, Unauthenticated) for answer in answers) == 199


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level=0, format="{message} {extra}")
    yield lines
    logger.remove(sink)


async def test_no_token_is_ever_logged(enroller: Enroller, log_lines: list[str]) -> None:
    made = await enroller.create_token("w-1")
    await enroller.enroll(made.token, CSR)
    with pytest.raises(TaskRunError):
        await enroller.enroll(made.token, OTHER_CSR)
    assert "w-1" in "".join(log_lines)
    assert made.token[9:52] not in "".join(log_lines)
