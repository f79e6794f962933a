"""What limits cost: the same tasks without any, and under a thousand accounts of which each has several limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING

from benchmarks.calls import all_ended
from benchmarks.databases import fresh_databases
from benchmarks.plant import Plant
from benchmarks.table import Figure
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

if TYPE_CHECKING:
    from benchmarks.throughput import Stub

KEYS = 1000
BATCH = 100
SAMPLE = 10_000
#: The best counts: what the machine does beside us only ever adds.
ROUNDS = 4
#: None of them is ever reached: what they cost is the counting, and a thousand lines in the place of one.
LIMITS = """
[[limits]]
by = "label:key"
waiting = 1000000
running = 1000
per_minute = 1000000

[[limits]]
by = "client"
waiting = 1000000
running = 1000000
"""


async def measure(plant: Plant, scale: float) -> list[Figure]:
    sample = max(KEYS, int(SAMPLE * scale))
    sqlite = (f"sqlite:{plant.certs.parent}/quotas-{number}.db" for number in count())
    figures = await _figures(plant, sample, "sqlite", sqlite)
    with fresh_databases() as databases:
        if databases is not None:
            figures += await _figures(plant, sample, "postgresql", databases)
    return figures


async def _figures(plant: Plant, sample: int, store: str, places: Iterator[str]) -> list[Figure]:
    """On stores of one kind, each of them new."""
    costs: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        stubs = {
            "without limits": await _plane(stack, plant, next(places), ""),
            f"with {KEYS:,} keys": await _plane(stack, plant, next(places), f'fair_by = "label:key"\n{LIMITS}'),
        }
        # In turn, so that what the machine does beside us meets both.
        for _ in range(1 + ROUNDS):
            for name, stub in stubs.items():
                costs.setdefault(name, []).append(await _cost(stub, sample))
    without, limited = best = [min(each[1:]) for each in costs.values()]
    figures = [Figure(f"cost of a task {name}, {store}", cost, "us") for name, cost in zip(costs, best, strict=True)]
    return [*figures, Figure("  with keys against without limits", limited / without, "x", at_most=1.3)]


async def _plane(stack: AsyncExitStack, plant: Plant, store: str, text: str) -> Stub:
    config = plant.certs.parent / "quotas.toml"
    config.write_text(text)
    plane = await stack.enter_async_context(plant.control_plane(store, f"--config={config}"))
    await stack.enter_async_context(plant.worker(plane.address))
    channel = await stack.enter_async_context(plant.channel(plane.address))
    return tasks_grpc.TaskServiceStub(channel)


async def _cost(stub: Stub, sample: int) -> float:
    """Microseconds a task, from its create to its end. Each of a batch has another key."""
    began = time.perf_counter()
    for start in range(0, sample, BATCH):
        await stub.CreateTasks(
            tasks.CreateTasksRequest(
                tasks=[
                    tasks.CreateTaskRequest(agent_name="noop", input_json="null", labels={"key": str(number % KEYS)})
                    for number in range(start, start + BATCH)
                ]
            )
        )
    await all_ended(stub, agent="noop")
    return (time.perf_counter() - began) / sample * 1e6
