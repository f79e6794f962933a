"""How a connection is made: where to, and with the settings that the store's promises rest on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from taskrun.domain.errors import InvalidArgument

#: In force on every connection, whatever the server, the database or the role says. A commit is on the disk when it
#: returns; nothing waits, or makes others wait, for long. Who is frozen in the middle of a commit is cut off before
#: those give up who wait for its rows.
SETTINGS = {
    "synchronous_commit": "on",
    "statement_timeout": "10s",
    "lock_timeout": "8s",
    "idle_in_transaction_session_timeout": "5s",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
}
#: The planner is told what we know and statistics may not: every statement reaches a few rows of tables that may be
#: large, through an index made for it. A plan made while a table was empty would else be the plan for a million rows
#: until the server next looks.
PLANNING = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
    "jit": "off",
}
#: For the connection that commits: each statement is planned once. The server would else plan anew for every execution
#: wherever it believes that a list of one is much cheaper than the ten that it assumes of a list it does not see. Reads
#: are planned with what they are given: a page that begins after a task, and one that begins anywhere, have one text.
WRITING = {"plan_cache_mode": "force_generic_plan"}
#: For libpq: a server that is gone without a word is noticed.
_NETWORK: dict[str, str | int] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
_NAME: dict[str, str | int] = {"fallback_application_name": "taskrun", "client_encoding": "UTF8"}


def conninfo_of(url: str, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """What libpq is told: the caller's URL, and ours where it says nothing, but for the settings: those, and `more` of
    them, are ours.

    Raises `InvalidArgument` for a URL that is none.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error as error:
        # What libpq says holds the URL, and that may hold a password.
        raise InvalidArgument("The URL of the PostgreSQL database is not one that libpq understands.") from error
    ours = {**SETTINGS, **PLANNING, **more}
    settings = " ".join(f"-c {name}={text.replace(' ', chr(92) + ' ')}" for name, text in ours.items())
    options = f"{given.pop('options', None) or ''} {settings}".strip()
    known = {name: text for name, text in given.items() if text is not None}
    return make_conninfo("", **(_NETWORK | known | _NAME), options=options)


def place_of(url: str) -> str:
    """The database's name and where it is, without names and passwords of people."""
    given = conninfo_to_dict(url)
    host, port = given.get("host") or given.get("hostaddr"), given.get("port")
    return " ".join(
        part
        for part in (
            f"database {given['dbname']}" if given.get("dbname") else "the PostgreSQL database",
            f"at {host}" if host else "",
            f"port {port}" if port else "",
        )
        if part
    )
