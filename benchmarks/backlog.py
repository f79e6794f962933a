"""What a task costs, and what memory holds, when very many others wait."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil

from benchmarks.calls import all_ended, many
from benchmarks.plant import Plant
from benchmarks.table import Figure
from benchmarks.throughput import BATCH, create_in_batches
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

SAMPLE = 4000

if TYPE_CHECKING:
    from benchmarks.throughput import Stub

#: The best counts: what the machine does beside us only ever adds.
ROUNDS = 4
#: Nobody offers this agent: these tasks wait for as long as we like.
WAITING = tasks.CreateTasksRequest(tasks=[tasks.CreateTaskRequest(agent_name="nobody", input_json="null")] * BATCH)


async def measure(plant: Plant, scale: float) -> list[Figure]:
    sizes = (int(10_000 * scale), int(100_000 * scale), int(1_000_000 * scale))
    figures = []
    async with _site(plant, "empty") as (empty, _), _site(plant, "full") as (full, process):
        idle = process.memory_info().rss
        waiting = 0
        for size in sizes:
            await many((size - waiting) // BATCH, 4, lambda _: full.CreateTasks(WAITING))
            waiting = size
            # In turn: these machines are faster at one time than at another.
            pairs = [(await _cost(empty), await _cost(full)) for _ in range(ROUNDS)]
            none, some = (min(costs) for costs in zip(*pairs, strict=True))
            figures.append(Figure(f"cost of a task while {size:,} wait, sqlite", some, "us"))
            figures.append(Figure(f"  against {none:.0f} us with none", some / none, "x", at_most=1.2))
        memory = (process.memory_info().rss - idle) / 1e6
    return [*figures, Figure(f"memory for {sizes[-1]:,} that wait", memory, "MB", at_most=100)]


@asynccontextmanager
async def _site(plant: Plant, name: str) -> AsyncIterator[tuple[Stub, psutil.Process]]:
    """A control plane on a database of its own, with a worker; it has worked for a while."""
    async with (
        plant.control_plane(f"sqlite:{plant.certs.parent / name}.db") as control_plane,
        plant.worker(control_plane.address),
        plant.channel(control_plane.address) as channel,
    ):
        stub: Stub = tasks_grpc.TaskServiceStub(channel)
        for _ in range(ROUNDS):
            await _cost(stub)
        yield stub, psutil.Process(control_plane.pid)


async def _cost(stub: Stub) -> float:
    """Microseconds a task, from its create to its end."""
    began = time.perf_counter()
    await create_in_batches(stub, SAMPLE)
    await all_ended(stub, agent="noop")
    return (time.perf_counter() - began) / SAMPLE * 1e6
