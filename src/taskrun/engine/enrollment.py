"""How a new worker is let in: tokens are made, and each is exchanged once for a certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from secrets import token_bytes

from loguru import logger

from taskrun.domain import tokens
from taskrun.domain.certificates.certificate import Certificate
from taskrun.domain.errors import InvalidArgument, Unauthenticated
from taskrun.domain.limits import check_worker_id
from taskrun.ports.authority import CertificateAuthority
from taskrun.ports.clock import Clock
from taskrun.ports.enrollment import BootstrapToken, Enrollment, Exchange, TokenRecord, TokenStore
from taskrun.ports.ids import IdSource

DEFAULT_TTL_MS = 3_600_000
MIN_TTL_MS = 1_000
MAX_TTL_MS = 7 * 24 * 3_600_000
#: So long the answer that a token was spent on is given again.
REMEMBERED_MS = 600_000


class Enroller:
    """Implements `EnrollmentApi`. `secret` gives 32 unpredictable bytes at each call."""

    def __init__(
        self,
        authority: CertificateAuthority,
        tokens: TokenStore,
        clock: Clock,
        new_id: IdSource,
        secret: Callable[[], bytes] = token_bytes,
    ) -> None:
        self._authority = authority
        self._tokens = tokens
        self._clock = clock
        self._new_id = new_id
        self._secret = secret

    async def create_token(self, worker_id: str = "", ttl_ms: int = 0) -> BootstrapToken:
        """A single-use token for this worker id ("" makes one up), valid for `ttl_ms` (0 = 1 h, 1 s to 7 days).
        Raises `InvalidArgument` for a bad id or ttl, `StoreFailed` if the token cannot be kept."""
        ttl_ms = ttl_ms or DEFAULT_TTL_MS
        if not MIN_TTL_MS <= ttl_ms <= MAX_TTL_MS:
            raise InvalidArgument("A bootstrap token is valid for 1 second to 7 days.")
        worker_id = worker_id or self._made_up_id()
        check_worker_id(worker_id)
        secret = self._secret()
        text = tokens.compose(secret, self._authority.fingerprint())
        expires_at_ms = self._clock.now().utc_ms + ttl_ms
        await self._tokens.put(TokenRecord(tokens.digest(secret), worker_id, expires_at_ms))
        return BootstrapToken(text, worker_id, expires_at_ms)

    async def enroll(self, token: str, csr_pem: bytes) -> Enrollment:
        """Signs the request for the token's worker and spends the token.

        Raises `InvalidArgument` for a request that would not be signed, the token being left unspent;
        `Unauthenticated` unless the token is known, unexpired and unspent, or was spent on this key just now.
        """
        # First of all, so that a mistake in the request does not cost the token.
        key_digest = self._authority.check_request(csr_pem)
        now_ms = self._clock.now().utc_ms
        record = await self._tokens.find(_digest_of(token), now_ms)
        if record is None:
            return await self._answered_before(token, key_digest, now_ms)
        # Signed before the token is spent: a CA that fails must not cost it.
        issued = self._authority.sign_worker(csr_pem, record.worker_id)
        answer = Enrollment(record.worker_id, issued.certificate_pem, self._authority.certificate_pem())
        exchange = Exchange(key_digest, answer, now_ms + REMEMBERED_MS)
        certificate = Certificate(issued.serial, f"worker:{record.worker_id}", now_ms, issued.not_after_ms)
        # Of many calls at once the store lets one through; a certificate that nobody is given is worth nothing.
        if not await self._tokens.spend(record.digest, exchange, certificate, now_ms):
            return await self._answered_before(token, key_digest, now_ms)
        logger.bind(worker_id=record.worker_id).info("worker enrolled with certificate {}", issued.serial)
        return answer

    async def _answered_before(self, token: str, key_digest: bytes, now_ms: int) -> Enrollment:
        """The answer that may have been lost on its way. It is of use only to the holder of this key, who may have
        signed another request with it: no two signatures are the same."""
        exchange = await self._tokens.spent_on(_digest_of(token), now_ms)
        if exchange is None or exchange.request_digest != key_digest:
            raise _not_let_in()
        return exchange.answer

    def _made_up_id(self) -> str:
        """48 bits of a fresh id's hash: whatever the id looks like, this is a worker id."""
        return f"worker-{hashlib.sha256(self._new_id().encode()).hexdigest()[:12]}"


def _digest_of(token: str) -> bytes:
    try:
        return tokens.digest(tokens.split(token)[0])
    except InvalidArgument:
        raise _not_let_in() from None


def _not_let_in() -> Unauthenticated:
    """The same words for every reason: they tell nobody which tokens exist."""
    return Unauthenticated("The bootstrap token is unknown, expired or already used.")
