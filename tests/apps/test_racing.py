from __future__ import annotations

import asyncio

import pytest

from taskrun.apps.racing import first_of
from taskrun.domain.errors import Unavailable


async def never(cancelled: list[bool]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.append(True)


async def at_once() -> None:
    return


async def dies() -> None:
    raise Unavailable("The HTTP server ended by itself.")


async def test_the_first_end_ends_the_waiting_for_the_others() -> None:
    cancelled: list[bool] = []
    await first_of(never(cancelled), at_once())
    assert cancelled == [True]


async def test_one_servers_end_ends_the_process_with_what_it_says() -> None:
    with pytest.raises(Unavailable, match="ended by itself"):
        await first_of(never([]), dies())
