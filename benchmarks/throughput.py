"""Tasks a second from the first create until the last is readable as COMPLETED."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.calls import all_ended, completed, many
from benchmarks.plant import CONNECTIONS, Plant
from benchmarks.raw import CONCURRENCY
from benchmarks.table import Figure
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

if TYPE_CHECKING:
    Stub: TypeAlias = tasks_grpc.TaskServiceAsyncStub

BATCH = 50
REQUEST = tasks.CreateTaskRequest(agent_name="noop", input_json="null")


async def create_one_by_one(stub: Stub, count: int) -> None:
    """One unary create a task."""
    await many(count, CONCURRENCY, lambda _: stub.CreateTask(REQUEST))


async def create_in_batches(stub: Stub, count: int) -> None:
    """Fifty tasks a call, four calls at once."""
    batch = tasks.CreateTasksRequest(tasks=[REQUEST] * BATCH)
    await many(count // BATCH, 4, lambda _: stub.CreateTasks(batch))


WAYS: dict[str, tuple[Callable[[Stub, int], Awaitable[None]], float]] = {
    "one create a task": (create_one_by_one, 0.3),
    "batched creates": (create_in_batches, 2.0),
}


async def rate(
    plant: Plant, create: Callable[[Stub, int], Awaitable[None]], count: int, store: str = "memory"
) -> float:
    """Tasks a second on a control plane of its own."""
    async with (
        plant.control_plane(store) as control_plane,
        plant.worker(control_plane.address),
        plant.channel(control_plane.address) as channel,
    ):
        stub: Stub = tasks_grpc.TaskServiceStub(channel)
        await create(stub, 500)
        await all_ended(stub)
        began = time.perf_counter()
        await create(stub, count)
        await all_ended(stub)
        took = time.perf_counter() - began
        found = await completed(stub)
        assert found == count + 500, f"{found} of {count + 500} tasks completed"
        return count / took


async def measure(plant: Plant, scale: float) -> list[Figure]:
    return [
        Figure(
            f"{count:,} tasks, {CONNECTIONS} connections, {way}",
            await rate(plant, create, count),
            "/s",
            limit="unary_rate",
            at_least=mark,
        )
        for way, (create, mark) in WAYS.items()
        for count in (int(2000 * max(scale, 0.5)), int(20_000 * scale))
    ]
