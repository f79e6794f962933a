"""What a task costs, and what memory holds, when very many others wait."""

from __future__ import annotations

import time
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
    sizes = (0, int(10_000 * scale), int(100_000 * scale), int(1_000_000 * scale))
    costs, memory = {}, {}
    database = plant.certs.parent / "backlog.db"
    async with (
        plant.control_plane(f"sqlite:{database}") as control_plane,
        plant.worker(control_plane.address),
        plant.channel(control_plane.address) as channel,
    ):
        stub: Stub = tasks_grpc.TaskServiceStub(channel)
        process = psutil.Process(control_plane.pid)
        await _cost(stub)
        waiting = 0
        for size in sizes:
            await many((size - waiting) // BATCH, 4, lambda _: stub.CreateTasks(WAITING))
            waiting = size
            costs[size] = min([await _cost(stub) for _ in range(ROUNDS)])
            memory[size] = process.memory_info().rss / 1e6
    figures = [Figure(f"cost of a task while {size:,} wait, sqlite", costs[size], "us") for size in sizes]
    figures += [
        Figure(f"  with {size:,} against that with none", costs[size] / costs[0], "x", at_most=1.2)
        for size in sizes[1:]
    ]
    most = sizes[-1]
    return [*figures, Figure(f"memory for {most:,} that wait", memory[most] - memory[0], "MB", at_most=100)]


async def _cost(stub: Stub) -> float:
    """Microseconds a task, from its create to its end."""
    began = time.perf_counter()
    await create_in_batches(stub, SAMPLE)
    await all_ended(stub, agent="noop")
    return (time.perf_counter() - began) / SAMPLE * 1e6
