"""Output from an agent to a live watcher: chunks a second, and how old a chunk is when it is read."""

from __future__ import annotations

import time

from benchmarks.plant import Plant
from benchmarks.table import Figure, percentile
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

#: Of one run, and how many such runs are made one after the other; the median is what counts.
CHUNKS, ROUNDS = 2_000, 11


async def measure(plant: Plant, scale: float) -> list[Figure]:
    count = int(200_000 * scale)
    ages: list[float] = []
    rates: list[float] = []
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
        for _ in range(ROUNDS):
            rates.append(await rate(stub, CHUNKS))
    return [
        Figure(
            f"one run of {CHUNKS:,} chunks, piece by piece, agent to watcher",
            percentile(rates, 0.5),
            "/s",
            limit="messages_rate",
            at_least=0.5,
        ),
        Figure(f"{count:,} output chunks, agent to watcher", count / took, "/s", limit="messages_rate", at_least=5),
        Figure(
            "age of a chunk at the watcher, at that rate, p50", percentile(ages, 0.5) * 1000, "ms", limit="unary_ms"
        ),
        Figure("age of a chunk at the watcher, at that rate, p99", percentile(ages, 0.99) * 1000, "ms", at_most=50),
    ]


async def rate(stub: tasks_grpc.TaskServiceAsyncStub, chunks: int) -> float:
    """Chunks a second of one run that is watched live, from the writing of its first to the reading of its last."""
    task = await stub.CreateTask(tasks.CreateTaskRequest(agent_name="tell", input_json=str(chunks)))
    written: list[str] = []
    read_at = 0.0
    async for message in stub.WatchTask(tasks.WatchTaskRequest(id=task.id)):
        for update in message.updates:
            written.extend(update.output.contents)
        if len(written) == chunks and not read_at:
            read_at = time.monotonic()
    assert read_at, f"{len(written)} of {chunks} chunks arrived"
    return chunks / (read_at - float(written[0][:-1]))
