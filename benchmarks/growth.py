"""What a task costs when many are in the store already."""

from __future__ import annotations

import time

from benchmarks.calls import all_ended
from benchmarks.plant import Plant
from benchmarks.table import Figure
from benchmarks.throughput import create_in_batches
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

#: Tasks that warm a control plane up, and tasks for which the cost is measured then. Both are in the store as well.
WARM_UP = 2000
SAMPLE = 2000
#: Control planes for each number of stored tasks. The best counts: what the machine does beside us only ever adds.
ROUNDS = 3


async def cost(plant: Plant, stored: int) -> float:
    """Microseconds a task, on a control plane of its own with this many finished tasks."""
    async with (
        plant.control_plane() as control_plane,
        plant.worker(control_plane.address),
        plant.channel(control_plane.address) as channel,
    ):
        stub = tasks_grpc.TaskServiceStub(channel)
        await create_in_batches(stub, max(stored, WARM_UP))
        await all_ended(stub)
        began = time.perf_counter()
        await create_in_batches(stub, SAMPLE)
        await all_ended(stub)
        return (time.perf_counter() - began) / SAMPLE * 1e6


async def measure(plant: Plant, scale: float) -> list[Figure]:
    sizes = (0, int(10_000 * scale), int(100_000 * scale))
    costs = {size: min([await cost(plant, size) for _ in range(ROUNDS)]) for size in sizes}
    figures = [
        Figure(f"cost of a task with {size:,} in the store", costs[size], "us", limit="unary_us") for size in sizes
    ]
    return figures + [
        Figure(f"  with {size:,} against that with none", costs[size] / costs[0], "x", at_most=1.2)
        for size in sizes[1:]
    ]
