"""Output from an agent to a live watcher: chunks a second, and how old a chunk is when it is read."""

from __future__ import annotations

import time

from benchmarks.plant import Plant
from benchmarks.table import Figure, percentile
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc


async def measure(plant: Plant, scale: float) -> list[Figure]:
    count = int(200_000 * scale)
    ages: list[float] = []
    async with (
        plant.control_plane() as control_plane,
        plant.worker(control_plane.address),
        plant.channel(control_plane.address) as channel,
    ):
        stub = tasks_grpc.TaskServiceStub(channel)
        for chunks in (1000, count):
            ages.clear()
            began = time.perf_counter()
            task = await stub.CreateTask(tasks.CreateTaskRequest(agent_name="flood", input_json=str(chunks)))
            async for message in stub.WatchTask(tasks.WatchTaskRequest(id=task.id)):
                now = time.monotonic()
                for update in message.updates:
                    ages.extend(now - float(chunk[:-1]) for chunk in update.output.contents)
            took = time.perf_counter() - began
            assert len(ages) == chunks, f"{len(ages)} of {chunks} chunks arrived"
    return [
        Figure(f"{count:,} output chunks, agent to watcher", count / took, "/s", limit="messages_rate", at_least=5),
        Figure(
            "age of a chunk at the watcher, at that rate, p50", percentile(ages, 0.5) * 1000, "ms", limit="unary_ms"
        ),
        Figure("age of a chunk at the watcher, at that rate, p99", percentile(ages, 0.99) * 1000, "ms", at_most=50),
    ]
