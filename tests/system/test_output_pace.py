"""Live output comes at no less than half the rate of a bare gRPC stream, with a process for each part as `make bench`
has it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.output import CHUNKS, rate
from benchmarks.plant import Plant
from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

#: Both are measured in turn so many times: what disturbs this machine disturbs some of them, and seldom all.
ROUNDS = 7


async def bare_rate(stub: tasks_grpc.TaskServiceAsyncStub) -> float:
    """Messages a second of a stream that does nothing else."""
    began = time.perf_counter()
    assert sum([1 async for _ in stub.WatchTask(tasks.WatchTaskRequest(from_seq=CHUNKS))]) == CHUNKS
    return CHUNKS / (time.perf_counter() - began)


@pytest.mark.alone
@pytest.mark.timeout(120)
async def test_a_run_of_2000_chunks_reaches_its_watcher_at_half_the_rate_of_a_bare_stream(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    async with (
        plant.control_plane() as control_plane,
        plant.worker(control_plane.address),
        plant.bare_server() as bare_address,
        plant.channel(control_plane.address) as channel,
        plant.channel(bare_address) as bare_channel,
    ):
        stub, bare = tasks_grpc.TaskServiceStub(channel), tasks_grpc.TaskServiceStub(bare_channel)
        await rate(stub, CHUNKS)
        ratios = [await rate(stub, CHUNKS) / await bare_rate(bare) for _ in range(ROUNDS)]
    assert max(ratios) >= 0.5, [round(ratio, 2) for ratio in ratios]
