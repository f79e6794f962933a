"""The limits: what grpc.aio does over mutual TLS on this machine, with the same messages and no work."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.calls import many
from benchmarks.plant import Plant
from benchmarks.table import percentile
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

#: Calls under way at once where a rate is measured.
CONCURRENCY = 64


@dataclass(frozen=True)
class Limits:
    """What is held beside every figure of TaskRun."""

    unary_rate: float
    unary_ms: float
    messages_rate: float

    def mean(self, other: Limits) -> Limits:
        """Both measurements, taken together."""
        return Limits(
            (self.unary_rate + other.unary_rate) / 2,
            (self.unary_ms + other.unary_ms) / 2,
            (self.messages_rate + other.messages_rate) / 2,
        )

    @property
    def unary_us(self) -> float:
        """What one of many unary calls costs."""
        return 1e6 / self.unary_rate


async def measure(plant: Plant, scale: float) -> Limits:
    """Takes a few seconds."""
    request = tasks.CreateTaskRequest(agent_name="noop", input_json="null")
    async with plant.bare_server() as address, plant.channel(address) as channel:
        stub = tasks_grpc.TaskServiceStub(channel)
        for _ in range(200):
            await stub.CreateTask(request)
        one_by_one = []
        for _ in range(500):
            began = time.perf_counter()
            await stub.CreateTask(request)
            one_by_one.append(time.perf_counter() - began)
        calls = max(1000, int(10_000 * scale))
        began = time.perf_counter()
        await many(calls, CONCURRENCY, lambda _: stub.CreateTask(request))
        rate = calls / (time.perf_counter() - began)
        messages = max(2000, int(30_000 * scale))
        began = time.perf_counter()
        async for _ in stub.WatchTask(tasks.WatchTaskRequest(from_seq=messages)):
            pass
        return Limits(rate, percentile(one_by_one, 0.5) * 1000, messages / (time.perf_counter() - began))
