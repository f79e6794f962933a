"""Many calls, so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from taskrun.v1 import common_pb2 as common
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc


async def many(count: int, at_once: int, call: Callable[[int], Awaitable[Any]]) -> None:
    """Makes `count` calls from `at_once` loops."""
    numbers = iter(range(count))

    async def loop() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(loop() for _ in range(at_once)))


async def all_ended(stub: tasks_grpc.TaskServiceAsyncStub, agent: str = "") -> None:
    """Returns once no task, or none of this agent, is PENDING or RUNNING for whoever asks."""
    for status in (common.TASK_STATUS_PENDING, common.TASK_STATUS_RUNNING):
        under_way = tasks.ListTasksRequest(status_filter=status, agent_filter=agent, limit=1)
        while (await stub.ListTasks(under_way)).tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the state is in another process


async def completed(stub: tasks_grpc.TaskServiceAsyncStub) -> int:
    """How many tasks are COMPLETED, counted by reading every one of them."""
    seen: set[str] = set()
    token = ""
    while True:
        query = tasks.ListTasksRequest(status_filter=common.TASK_STATUS_COMPLETED, limit=1000, page_token=token)
        page = await stub.ListTasks(query)
        seen.update(task.id for task in page.tasks)
        token = page.next_page_token
        if not token:
            return len(seen)
