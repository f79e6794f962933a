"""What is installed only on request: a word about the extra where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskrun.domain.errors import FailedPrecondition


@contextmanager
def postgres_extra() -> Iterator[None]:
    """Within it the PostgreSQL adapter is imported. Raises `FailedPrecondition` if its driver is not there."""
    try:
        yield
    except ImportError as error:
        raise FailedPrecondition("A PostgreSQL store needs the extra: pip install 'taskrun[postgres]'.") from error
