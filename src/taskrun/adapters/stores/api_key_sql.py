"""What both SQL stores say about API keys, in the words that both understand; `?` stands for a value."""

from __future__ import annotations

from typing import Any

from taskrun.domain.api_keys import ApiKey
from taskrun.domain.identity import Role

_COLUMNS = "name, role, digest, created_at, expires_at, created_by, revoked_at"

#: Of (a moment): forgets what ended before it.
FORGET = "DELETE FROM api_keys WHERE CASE revoked_at WHEN 0 THEN expires_at ELSE revoked_at END <= ?"
#: Of (a row, now): writes one row, or none if the name is taken.
PUT = f"""
    INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET role = excluded.role, digest = excluded.digest, created_at = excluded.created_at,
        expires_at = excluded.expires_at, created_by = excluded.created_by, revoked_at = excluded.revoked_at
    WHERE api_keys.revoked_at > 0 OR api_keys.expires_at <= ?
"""  # noqa: S608  # the columns are ours
FIND = f"SELECT {_COLUMNS} FROM api_keys WHERE digest = ?"  # noqa: S608
NAMED = f"SELECT {_COLUMNS} FROM api_keys WHERE name = ?"  # noqa: S608
ALL = f"SELECT {_COLUMNS} FROM api_keys ORDER BY name"  # noqa: S608
#: Of (now, a name).
REVOKE = "UPDATE api_keys SET revoked_at = ? WHERE name = ? AND revoked_at = 0"


def row_of(key: ApiKey) -> tuple[Any, ...]:
    """The key as its row."""
    return (
        key.name,
        key.role.value,
        key.digest,
        key.created_at_ms,
        key.expires_at_ms,
        key.created_by,
        key.revoked_at_ms,
    )


def key_of(row: tuple[Any, ...]) -> ApiKey:
    """The key in a row."""
    name, role, digest, *rest = row
    return ApiKey(name, Role(role), digest, *rest)
