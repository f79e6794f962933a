"""On an idle system: from the call until the agent begins, and until the caller has read that it is done."""

from __future__ import annotations

import time

from benchmarks.plant import Plant
from benchmarks.table import Figure, percentile
from taskrun.v1 import common_pb2 as common
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc


async def measure(plant: Plant, scale: float) -> list[Figure]:
    starts, ends = [], []
    async with (
        plant.control_plane() as control_plane,
        plant.worker(control_plane.address),
        plant.channel(control_plane.address) as channel,
    ):
        stub = tasks_grpc.TaskServiceStub(channel)
        request = tasks.CreateTaskRequest(agent_name="stamp", input_json="null")
        for number in range(100 + max(200, int(1000 * scale))):
            began = time.monotonic()
            started, ended = "", 0.0
            async for message in stub.CreateAndWatchTask(request):
                for update in message.updates:
                    started += "".join(update.output.contents)
                    if update.change.status == common.TASK_STATUS_COMPLETED:
                        ended = time.monotonic()
            if number >= 100:
                starts.append((float(started) - began) * 1000)
                ends.append((ended - began) * 1000)
    return [
        Figure("submit to start, p50", percentile(starts, 0.5), "ms", limit="unary_ms", at_most=2.5),
        Figure("submit to start, p99", percentile(starts, 0.99), "ms", limit="unary_ms"),
        Figure("submit to done, p50", percentile(ends, 0.5), "ms", limit="unary_ms", at_most=4),
        Figure("submit to done, p99", percentile(ends, 0.99), "ms", limit="unary_ms"),
    ]
