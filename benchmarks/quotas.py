"""What limits cost: the same tasks without any, and under a thousand accounts of which each has several limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.calls import all_ended
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
    config = plant.certs.parent / "quotas.toml"
    costs: dict[str, float] = {}
    sample = max(KEYS, int(SAMPLE * scale))
    for name, text in (("without limits", ""), (f"with {KEYS:,} keys", f'fair_by = "label:key"\n{LIMITS}')):
        config.write_text(text)
        database = plant.certs.parent / f"quotas-{len(costs)}.db"
        async with (
            plant.control_plane(f"sqlite:{database}", f"--config={config}") as control_plane,
            plant.worker(control_plane.address),
            plant.channel(control_plane.address) as channel,
        ):
            stub: Stub = tasks_grpc.TaskServiceStub(channel)
            await _cost(stub, sample)
            costs[name] = min([await _cost(stub, sample) for _ in range(ROUNDS)])
    without, limited = costs.values()
    figures = [Figure(f"cost of a task {name}, sqlite", cost, "us") for name, cost in costs.items()]
    return [*figures, Figure("  with keys against without limits", limited / without, "x", at_most=1.3)]


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
