"""Bootstrap tokens in a SQLite file: a restart forgets none."""

from __future__ import annotations

import sqlite3

from taskrun.adapters.stores.sqlite.certificates import record
from taskrun.adapters.stores.sqlite.connection import transaction
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.domain.certificates.certificate import Certificate
from taskrun.ports.enrollment import Enrollment, Exchange, TokenRecord

_FIND = "SELECT digest, worker_id, expires_at FROM tokens WHERE digest = ? AND expires_at > ?"
_SPENT_ON = """
    SELECT request_digest, worker_id, certificate_pem, ca_pem, remembered_until FROM exchanges
    WHERE token_digest = ? AND remembered_until > ?
"""


class SqliteTokenStore:
    """Implements `TokenStore`. Every call is O(log n); what has expired is removed as time passes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, record: TokenRecord) -> None:
        """See `TokenStore.put`."""
        await self._database.write(_put, self._database.writer, record)

    async def find(self, digest: bytes, now_ms: int) -> TokenRecord | None:
        """See `TokenStore.find`."""
        return await self._database.read(_find, digest, now_ms)

    async def spend(self, digest: bytes, exchange: Exchange, certificate: Certificate, now_ms: int) -> bool:
        """See `TokenStore.spend`."""
        return await self._database.write(_spend, self._database.writer, digest, exchange, certificate, now_ms)

    async def spent_on(self, digest: bytes, now_ms: int) -> Exchange | None:
        """See `TokenStore.spent_on`."""
        return await self._database.read(_spent_on, digest, now_ms)


def _put(connection: sqlite3.Connection, record: TokenRecord) -> None:
    row = (record.digest, record.worker_id, record.expires_at_ms)
    with transaction(connection):
        connection.execute("INSERT OR REPLACE INTO tokens (digest, worker_id, expires_at) VALUES (?, ?, ?)", row)


def _find(connection: sqlite3.Connection, digest: bytes, now_ms: int) -> TokenRecord | None:
    row = connection.execute(_FIND, (digest, now_ms)).fetchone()
    return TokenRecord(*row) if row else None


def _spend(
    connection: sqlite3.Connection, digest: bytes, exchange: Exchange, certificate: Certificate, now_ms: int
) -> bool:
    with transaction(connection):
        connection.execute("DELETE FROM tokens WHERE expires_at <= ?", (now_ms,))
        connection.execute("DELETE FROM exchanges WHERE remembered_until <= ?", (now_ms,))
        if not connection.execute(_FIND, (digest, now_ms)).fetchone() or not record(connection, certificate):
            return False
        connection.execute("DELETE FROM tokens WHERE digest = ?", (digest,))
        answer = exchange.answer
        connection.execute(
            "INSERT OR REPLACE INTO exchanges"
            " (token_digest, request_digest, worker_id, certificate_pem, ca_pem, remembered_until)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                digest,
                exchange.request_digest,
                answer.worker_id,
                answer.certificate_pem,
                answer.ca_pem,
                exchange.until_ms,
            ),
        )
        return True


def _spent_on(connection: sqlite3.Connection, digest: bytes, now_ms: int) -> Exchange | None:
    row = connection.execute(_SPENT_ON, (digest, now_ms)).fetchone()
    if row is None:
        return None
    request_digest, worker_id, certificate_pem, ca_pem, until_ms = row
    return Exchange(request_digest, Enrollment(worker_id, certificate_pem, ca_pem), until_ms)
