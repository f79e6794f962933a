"""What a task costs when many are in the store already."""

from __future__ import annotations

import time

from benchmarks.calls import all_ended
from benchmarks.plant import Plant
from benchmarks.raw import Limits
from benchmarks.table import Table
from benchmarks.throughput import create_in_batches
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

#: Tasks for which the cost is measured.
SAMPLE = 5000


async def measure(plant: Plant, table: Table, limits: Limits, scale: float) -> None:
    async with (
        plant.control_plane() as control_plane,
        plant.worker(control_plane.address),
        plant.channel(control_plane.address) as channel,
    ):
        stub = tasks_grpc.TaskServiceStub(channel)

        async def microseconds(count: int) -> float:
            began = time.perf_counter()
            await create_in_batches(stub, count)
            await all_ended(stub)
            return (time.perf_counter() - began) / count * 1e6

        await microseconds(1000)
        stored, first = 0, 0.0
        for target in (0, int(10_000 * scale), int(100_000 * scale)):
            if target > stored:
                await microseconds(target - stored)
                stored = target
            # The best of three: what the machine does beside us only ever adds.
            cost = min([await microseconds(SAMPLE) for _ in range(3)])
            stored += 3 * SAMPLE
            first = first or cost
            what = f"cost of a task with {target:,} in the store"
            table.add(what, cost, "us", limit=None)
            if target:
                table.add(f"  against that with none, {target:,}", cost / first, "x", at_most=1.2)
