"""What PostgreSQL's errors mean, in sentences that hold no SQL, no name and no address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests

from taskrun.domain.errors import StoreFailed

#: By SQLSTATE, or its first two characters.
_SENTENCES = {
    "53100": "The disk that holds the tasks is full.",
    "53300": "The tasks' database has no connection left for this control plane.",
    "23505": "The tasks' database has such a record already: a task, or the beginning of its story, is stored once.",
    "25006": "The tasks' database cannot be written: it may be a standby.",
    "55P03": "Another program keeps rows of the tasks' database locked.",
    "57014": "The tasks' database took too long.",
    "40P01": "The tasks' database ended a deadlock.",
    "28": "The tasks' database refuses this control plane's credentials.",
    "42": "The schema of the tasks' database is not the one that this TaskRun knows.",
    "58": "The disk that holds the tasks does not read or write.",
    "XX": "The tasks' database is damaged: its own log says more.",
    "57P": "The tasks' database is shutting down or starting.",
    "08": "The tasks' database cannot be reached.",
}
DISK_FULL = "53100"


def store_failed(error: psycopg.Error) -> StoreFailed:
    """The error as the port names it."""
    state = error.sqlstate or ""
    for known in (state, state[:3], state[:2]):
        if known in _SENTENCES:
            return StoreFailed(_SENTENCES[known])
    if isinstance(error, PoolTimeout | TooManyRequests) or (isinstance(error, psycopg.OperationalError) and not state):
        return StoreFailed(_SENTENCES["08"])
    return StoreFailed(f"The tasks' database refused its work ({state or type(error).__name__}).")


@contextmanager
def translated() -> Iterator[None]:
    """Within it, what psycopg raises, and a value that cannot be encoded or decoded, becomes `StoreFailed`."""
    try:
        yield
    except psycopg.Error as error:
        raise store_failed(error) from error
    except (TimeoutError, OSError) as error:
        raise StoreFailed(_SENTENCES["08"]) from error
    except (ValueError, OverflowError) as error:
        raise StoreFailed(f"A record does not fit into the store: {type(error).__name__}.") from error
