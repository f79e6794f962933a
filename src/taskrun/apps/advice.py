"""What to do about a file that is missing. Who is asked knows it, not who reads the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taskrun.adapters.ca.disk import FileMissing
from taskrun.domain.errors import FailedPrecondition


@contextmanager
def advising(what_to_do: str) -> Iterator[None]:
    """A file that is found missing in the block is told together with this."""
    try:
        yield
    except FileMissing as error:
        raise FailedPrecondition(f"{error.message.removesuffix('.')}: {what_to_do}.") from error
