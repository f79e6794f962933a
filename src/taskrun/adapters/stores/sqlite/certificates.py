"""Certificates in a SQLite file, with what was revoked of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from taskrun.adapters.stores.certificate_pages import Place, begin_of, page_of
from taskrun.adapters.stores.sqlite.connection import transaction
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.domain.certificates.certificate import (
    LISTED_MS,
    Certificate,
    CertificatePage,
    CertificateQuery,
    Revocation,
)
from taskrun.domain.identity import Identity

_ABOUT = "SELECT at, owner, serial, number FROM revocations WHERE {} ORDER BY number"
_ABOUT_OWNER, _ABOUT_SERIAL, _AFTER = (
    _ABOUT.format(condition) for condition in ("owner = ? AND owner <> ''", "serial = ? AND serial <> ''", "number > ?")
)
_COLUMNS = "serial, owner, issued_at, not_after, revoked_at"
_KEEP = f"INSERT INTO certificates ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608  # names of ours
_FORGET = "DELETE FROM certificates WHERE not_after <= ?"
_LIST = f"SELECT {_COLUMNS} FROM certificates WHERE (issued_at < ? OR (issued_at = ? AND serial > ?))"  # noqa: S608
_HAS = "SELECT EXISTS (SELECT 1 FROM certificates WHERE serial = ?)"
_IN_ORDER = " ORDER BY issued_at DESC, serial LIMIT ?"
_OF_OWNER = " AND owner = ?"
_REVOKE = "INSERT INTO revocations (at, owner, serial) VALUES (?, ?, ?)"
_GOOD = f"SELECT {_COLUMNS} FROM certificates WHERE revoked_at = 0 AND "  # noqa: S608
_MARK = "UPDATE certificates SET revoked_at = ? WHERE serial = ?"
_FORGET_TOKENS = "DELETE FROM tokens WHERE 'worker:' || worker_id = ?"
_FORGET_EXCHANGES = "DELETE FROM exchanges WHERE 'worker:' || worker_id = ?"


class SqliteCertificateStore:
    """Implements `CertificateStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, certificate: Certificate, old: Identity) -> bool:
        """See `CertificateStore.renew`."""
        return await self._database.write(_renew, self._database.writer, certificate, old)

    async def find(self, query: CertificateQuery) -> CertificatePage:
        """See `CertificateStore.find`."""
        return await self._database.read(_find, begin_of(query), query)

    async def has(self, serial: str) -> bool:
        """See `CertificateStore.has`."""
        return await self._database.read(_has, serial)

    async def revoke(self, revocation: Revocation) -> Sequence[Certificate]:
        """See `CertificateStore.revoke`."""
        return await self._database.write(_revoke, self._database.writer, revocation)

    async def revocations(self, after: int = 0) -> Sequence[Revocation]:
        """See `CertificateStore.revocations`."""
        return await self._database.read(_revocations, after)


def record(connection: sqlite3.Connection, certificate: Certificate, old: Identity | None = None) -> bool:
    """Keeps a certificate, within the transaction of the caller, unless it or the old one was revoked."""
    if any(_is_revoked(connection, peer) for peer in (certificate.identity, old) if peer is not None):
        return False
    connection.execute(_FORGET, (certificate.issued_at_ms - LISTED_MS,))
    connection.execute(
        _KEEP,
        (
            certificate.serial,
            certificate.owner,
            certificate.issued_at_ms,
            certificate.not_after_ms,
            certificate.revoked_at_ms,
        ),
    )
    return True


def _is_revoked(connection: sqlite3.Connection, peer: Identity) -> bool:
    rows = [*connection.execute(_ABOUT_OWNER, (peer.owner,)), *connection.execute(_ABOUT_SERIAL, (peer.serial,))]
    return any(Revocation(*row).covers(peer) for row in rows)


def _renew(connection: sqlite3.Connection, certificate: Certificate, old: Identity) -> bool:
    with transaction(connection):
        return record(connection, certificate, old)


def _find(connection: sqlite3.Connection, begin: Place, query: CertificateQuery) -> CertificatePage:
    issued_at, serial = begin
    sql, given = (_LIST + _OF_OWNER, [query.owner]) if query.owner else (_LIST, [])
    rows = connection.execute(sql + _IN_ORDER, [issued_at, issued_at, serial, *given, query.limit + 1])
    return page_of([Certificate(*row) for row in rows], query.limit)


def _has(connection: sqlite3.Connection, serial: str) -> bool:
    return bool(connection.execute(_HAS, (serial,)).fetchone()[0])


def _revoke(connection: sqlite3.Connection, revocation: Revocation) -> list[Certificate]:
    column, value = ("serial", revocation.serial) if revocation.serial else ("owner", revocation.owner)
    with transaction(connection):
        connection.execute(_FORGET_TOKENS, (revocation.owner,))
        connection.execute(_REVOKE, (revocation.at_ms, revocation.owner, revocation.serial))
        rows = connection.execute(f"{_GOOD}{column} = ? ORDER BY issued_at DESC, serial", (value,)).fetchall()
        marked = [replace(Certificate(*row), revoked_at_ms=revocation.at_ms) for row in rows]
        connection.executemany(_MARK, [(each.revoked_at_ms, each.serial) for each in marked])
        connection.executemany(_FORGET_EXCHANGES, [(owner,) for owner in revocation.owners(marked)])
        if revocation.owner:
            connection.executemany(_REVOKE, [(each.revoked_at_ms, "", each.serial) for each in marked])
        return marked


def _revocations(connection: sqlite3.Connection, after: int) -> list[Revocation]:
    return [Revocation(*row) for row in connection.execute(_AFTER, (after,))]
