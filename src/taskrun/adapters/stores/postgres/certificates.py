"""Certificates in a PostgreSQL database, with what was revoked of them: every control plane on it knows them."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.adapters.stores.certificate_pages import Place, begin_of, page_of
from taskrun.adapters.stores.postgres.database import AsyncConnection, Database
from taskrun.domain.certificates.certificate import (
    LISTED_MS,
    Certificate,
    CertificatePage,
    CertificateQuery,
    Revocation,
)
from taskrun.domain.identity import Identity

#: The key of the advisory lock that is shared by all who record a certificate. Who revokes has it alone: so a
#: certificate that is recorded at the same time is marked, or not recorded, and numbers are seen in their order.
_LOCK = 0x63657274
_SHARED = "SELECT pg_advisory_xact_lock_shared(%s)"
_ALONE = "SELECT pg_advisory_xact_lock(%s)"

_COLUMNS = "serial, owner, issued_at, not_after, revoked_at"
_KEEP = f"INSERT INTO certificates ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s)"  # noqa: S608  # names of ours
_FORGET = """
    DELETE FROM certificates WHERE serial IN (
        SELECT serial FROM certificates WHERE not_after <= %s FOR UPDATE SKIP LOCKED
    )
"""
_ABOUT = """
    SELECT at, owner, serial, number FROM revocations WHERE owner = %s AND owner <> ''
    UNION ALL
    SELECT at, owner, serial, number FROM revocations WHERE serial = %s AND serial <> ''
"""
_AFTER = "SELECT at, owner, serial, number FROM revocations WHERE number > %s ORDER BY number"
_LIST = f"SELECT {_COLUMNS} FROM certificates WHERE (issued_at < %s OR (issued_at = %s AND serial > %s))"  # noqa: S608
_HAS = "SELECT EXISTS (SELECT FROM certificates WHERE serial = %s)"
_IN_ORDER = " ORDER BY issued_at DESC, serial LIMIT %s"
_OF_OWNER = " AND owner = %s"
_FORGET_TOKENS = "DELETE FROM tokens WHERE 'worker:' || worker_id = %s"
_FORGET_EXCHANGES = "DELETE FROM exchanges WHERE 'worker:' || worker_id = ANY(%s::text[])"
_REVOKE = "INSERT INTO revocations (at, owner, serial) VALUES (%s, %s, %s)"
_MARK = f"UPDATE certificates SET revoked_at = %s WHERE revoked_at = 0 AND {{}} = %s RETURNING {_COLUMNS}"  # noqa: S608
_MARK_SERIAL, _MARK_OWNER = _MARK.format("serial"), _MARK.format("owner")
_REVOKE_EACH = "INSERT INTO revocations (at, owner, serial) SELECT %s, '', unnest(%s::text[])"


class PostgresCertificateStore:
    """Implements `CertificateStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, certificate: Certificate, old: Identity) -> bool:
        """See `CertificateStore.renew`."""
        return await self._database.change(record, certificate, old)

    async def find(self, query: CertificateQuery) -> CertificatePage:
        """See `CertificateStore.find`."""
        return await self._database.read(_find, begin_of(query), query)

    async def has(self, serial: str) -> bool:
        """See `CertificateStore.has`."""
        return await self._database.read(_has, serial)

    async def revoke(self, revocation: Revocation) -> Sequence[Certificate]:
        """See `CertificateStore.revoke`."""
        return await self._database.change(_revoke, revocation)

    async def revocations(self, after: int = 0) -> Sequence[Revocation]:
        """See `CertificateStore.revocations`."""
        return await self._database.read(_revocations, after)


async def hold_revocations(connection: AsyncConnection) -> None:
    """Nothing is revoked until the transaction ends. To be called before it locks anything else."""
    await connection.execute(_SHARED, [_LOCK])


async def record(connection: AsyncConnection, certificate: Certificate, old: Identity | None = None) -> bool:
    """Keeps a certificate, within the transaction of the caller, unless it or the old one was revoked."""
    await hold_revocations(connection)
    for peer in (certificate.identity, old):
        if peer is not None and await _is_revoked(connection, peer):
            return False
    await connection.execute(_FORGET, [certificate.issued_at_ms - LISTED_MS])
    row = [
        certificate.serial,
        certificate.owner,
        certificate.issued_at_ms,
        certificate.not_after_ms,
        certificate.revoked_at_ms,
    ]
    await connection.execute(_KEEP, row)
    return True


async def _is_revoked(connection: AsyncConnection, peer: Identity) -> bool:
    rows = await (await connection.execute(_ABOUT, [peer.owner, peer.serial])).fetchall()
    return any(Revocation(*row).covers(peer) for row in rows)


async def _find(connection: AsyncConnection, begin: Place, query: CertificateQuery) -> CertificatePage:
    issued_at, serial = begin
    sql, given = (_LIST + _OF_OWNER, [query.owner]) if query.owner else (_LIST, [])
    rows = await connection.execute(sql + _IN_ORDER, [issued_at, issued_at, serial, *given, query.limit + 1])
    return page_of([Certificate(*row) for row in await rows.fetchall()], query.limit)


async def _has(connection: AsyncConnection, serial: str) -> bool:
    [[found]] = await (await connection.execute(_HAS, [serial])).fetchall()
    return bool(found)


async def _revoke(connection: AsyncConnection, revocation: Revocation) -> list[Certificate]:
    await connection.execute(_ALONE, [_LOCK])
    await connection.execute(_FORGET_TOKENS, [revocation.owner])
    await connection.execute(_REVOKE, [revocation.at_ms, revocation.owner, revocation.serial])
    mark, key = (_MARK_SERIAL, revocation.serial) if revocation.serial else (_MARK_OWNER, revocation.owner)
    rows = await (await connection.execute(mark, [revocation.at_ms, key])).fetchall()
    marked = sorted((Certificate(*row) for row in rows), key=lambda each: (-each.issued_at_ms, each.serial))
    await connection.execute(_FORGET_EXCHANGES, [list(revocation.owners(marked))])
    if revocation.owner:
        await connection.execute(_REVOKE_EACH, [revocation.at_ms, [each.serial for each in marked]])
    return marked


async def _revocations(connection: AsyncConnection, after: int) -> list[Revocation]:
    return [Revocation(*row) for row in await (await connection.execute(_AFTER, [after])).fetchall()]
