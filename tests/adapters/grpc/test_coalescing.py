"""Creates that come together, without a wire."""

from __future__ import annotations

import asyncio

import pytest

from taskrun.adapters.grpc.coalescing import Coalescer
from taskrun.domain.errors import TaskRunError, Unavailable
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.status import TaskStatus


async def test_what_its_caller_was_told_has_failed_is_not_sent_after_all() -> None:
    sent: list[list[bytes]] = []
    go = asyncio.Event()

    async def create_many(specs: list[bytes]) -> list[Task | TaskRunError]:
        sent.append(specs)
        await go.wait()
        if len(sent) == 1:
            raise KeyError("a bug")
        return [Task("t", TaskSpec("general", "1"), TaskStatus.PENDING, "admin", 1)]

    creates = Coalescer(create_many)
    first = asyncio.create_task(creates.create(b"1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(creates.create(b"2"))
    await asyncio.sleep(0)
    go.set()
    for create in (first, second):
        with pytest.raises(Unavailable):
            await create
    assert (await creates.create(b"3")).id == "t"
    assert sent == [[b"1"], [b"3"]]
