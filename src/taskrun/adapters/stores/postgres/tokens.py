"""Bootstrap tokens in a PostgreSQL database: every control plane on it knows them, and one of them takes each."""

from __future__ import annotations

from taskrun.adapters.stores.postgres.certificates import hold_revocations, record
from taskrun.adapters.stores.postgres.database import AsyncConnection, Database
from taskrun.domain.certificates.certificate import Certificate
from taskrun.ports.enrollment import Enrollment, Exchange, TokenRecord

_PUT = """
    INSERT INTO tokens (digest, worker_id, expires_at) VALUES (%s, %s, %s)
    ON CONFLICT (digest) DO UPDATE SET worker_id = excluded.worker_id, expires_at = excluded.expires_at
"""
_FIND = "SELECT digest, worker_id, expires_at FROM tokens WHERE digest = %s AND expires_at > %s"
_EXPIRE = (
    "DELETE FROM tokens WHERE digest IN (SELECT digest FROM tokens WHERE expires_at <= %s FOR UPDATE SKIP LOCKED)",
    """
    DELETE FROM exchanges WHERE token_digest IN (
        SELECT token_digest FROM exchanges WHERE remembered_until <= %s FOR UPDATE SKIP LOCKED
    )
    """,
)
_LOCK = f"{_FIND} FOR UPDATE"
_SPEND = "DELETE FROM tokens WHERE digest = %s"
_REMEMBER = """
    INSERT INTO exchanges (token_digest, request_digest, worker_id, certificate_pem, ca_pem, remembered_until)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (token_digest) DO UPDATE SET request_digest = excluded.request_digest,
        worker_id = excluded.worker_id, certificate_pem = excluded.certificate_pem, ca_pem = excluded.ca_pem,
        remembered_until = excluded.remembered_until
"""
_SPENT_ON = """
    SELECT request_digest, worker_id, certificate_pem, ca_pem, remembered_until FROM exchanges
    WHERE token_digest = %s AND remembered_until > %s
"""


class PostgresTokenStore:
    """Implements `TokenStore`. Every call is O(log n); what has expired is removed as time passes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, record: TokenRecord) -> None:
        """See `TokenStore.put`."""
        await self._database.change(_put, record)

    async def find(self, digest: bytes, now_ms: int) -> TokenRecord | None:
        """See `TokenStore.find`."""
        return await self._database.read(_find, digest, now_ms)

    async def spend(self, digest: bytes, exchange: Exchange, certificate: Certificate, now_ms: int) -> bool:
        """See `TokenStore.spend`."""
        return await self._database.change(_spend, digest, exchange, certificate, now_ms)

    async def spent_on(self, digest: bytes, now_ms: int) -> Exchange | None:
        """See `TokenStore.spent_on`."""
        return await self._database.read(_spent_on, digest, now_ms)


async def _put(connection: AsyncConnection, record: TokenRecord) -> None:
    await connection.execute(_PUT, [record.digest, record.worker_id, record.expires_at_ms])


async def _find(connection: AsyncConnection, digest: bytes, now_ms: int) -> TokenRecord | None:
    row = await (await connection.execute(_FIND, [digest, now_ms])).fetchone()
    return TokenRecord(*row) if row else None


async def _spend(
    connection: AsyncConnection, digest: bytes, exchange: Exchange, certificate: Certificate, now_ms: int
) -> bool:
    await hold_revocations(connection)
    # Of two at once one finds the row gone.
    found = await (await connection.execute(_LOCK, [digest, now_ms])).fetchone()
    spent = found is not None and await record(connection, certificate)
    for sql in _EXPIRE:
        await connection.execute(sql, [now_ms])
    if spent:
        await connection.execute(_SPEND, [digest])
        answer = exchange.answer
        given = [
            digest,
            exchange.request_digest,
            answer.worker_id,
            answer.certificate_pem,
            answer.ca_pem,
            exchange.until_ms,
        ]
        await connection.execute(_REMEMBER, given)
    return spent


async def _spent_on(connection: AsyncConnection, digest: bytes, now_ms: int) -> Exchange | None:
    row = await (await connection.execute(_SPENT_ON, [digest, now_ms])).fetchone()
    if row is None:
        return None
    request_digest, worker_id, certificate_pem, ca_pem, until_ms = row
    return Exchange(request_digest, Enrollment(worker_id, certificate_pem, ca_pem), until_ms)
