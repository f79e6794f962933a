"""An old worker, word for word as WIRE.md describes it, with the real control plane behind the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest

from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.events import DomainEvent
from taskrun.domain.records import OutputSegment, RunEvent, RunMessage, StoryEntry, Task, TaskChange, TaskSpec
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.v1 import run_service_pb2 as pb
from tests.adapters.grpc.certificates import MiniCa
from tests.adapters.grpc.raw import Call, heard, hello, send, status, stream
from tests.adapters.grpc.stubs import StubCertificates, StubEnrollment, StubKeys, make_gate

SPEC = TaskSpec("general", '"hi"')


class Deaf:
    def record(self, events: Sequence[DomainEvent]) -> None:
        pass


@pytest.fixture
async def address(ca: MiniCa) -> AsyncIterator[str]:
    plane = ControlPlane(MemoryStore(), SystemClock(), UuidV7Source(), Deaf(), ControlPlaneTimers())
    await plane.start()
    tls = ca.server()
    parts = (plane, plane, plane, StubEnrollment(), StubCertificates(), make_gate())
    server = GrpcServer("[::1]:0", lambda: tls, parse_peer, *parts, keys=StubKeys())
    yield f"[::1]:{await server.start()}"
    await plane.stop()
    await server.stop(0)


def says(**payload: Any) -> pb.RunClientMessage:
    return pb.RunClientMessage(**payload)


async def order(call: Call) -> pb.RunServerMessage:
    """The next message that an old worker does not ignore."""
    while True:
        message = await heard(call)
        assert not message.HasField("batch")
        if not message.HasField("ack"):
            return message


async def greet(call: Call) -> None:
    await send(call, hello(claimed="5f2b-random"))
    beat = {"worker_id": "5f2b-random", "status": 1, "max_concurrent_runs": 2, "timestamp_ms": 1}
    await send(call, says(heartbeat=beat))


async def report(call: Call, run_id: str, status: int, **more: object) -> None:
    await send(call, says(status_update={"run_id": run_id, "status": status, **more}))


async def execute(call: Call, run_id: str, task_id: str) -> None:
    await report(call, run_id, 3)
    await send(call, says(event={"run_id": run_id, "task_id": task_id, "event_type": 1}))
    for seq, content in enumerate(["a", "b"]):
        await send(call, says(output_chunk={"run_id": run_id, "seq": seq, "content": content}))
    said = {"run_id": run_id, "message": {"role": 2, "content": "done"}}
    await send(call, says(chat_message=said))
    await send(call, says(output_chunk={"run_id": run_id, "seq": 2, "is_final": True}))
    await report(call, run_id, 4, backend_used={"provider": "anthropic", "model_name": "claude"})


async def story_of(client: AsyncClient, task_id: str) -> list[StoryEntry]:
    return [entry async for entries in client.watch(task_id) for entry in entries]


async def ended(client: AsyncClient, task_id: str) -> Task:
    await story_of(client, task_id)
    return await client.get(task_id)


async def test_an_old_worker_does_a_whole_job(address: str, ca: MiniCa) -> None:
    async with AsyncClient(address, ca.client()) as client, stream(address, ca.worker("w-1")) as call:
        await greet(call)
        task = await client.create(SPEC)
        assigned = (await order(call)).assign_run
        assert (assigned.task_id, assigned.agent_name, assigned.input_json) == (task.id, "general", '"hi"')
        await execute(call, assigned.run_id, task.id)
        story = await story_of(client, task.id)
        done = await client.get(task.id)
        bodies = [entry.body for entry in story]
    assert [body.status for body in bodies if isinstance(body, TaskChange)][-1] is TaskStatus.COMPLETED
    output = [text for body in bodies if isinstance(body, OutputSegment) for text in body.contents]
    assert "".join(output) == "ab"
    assert len([body for body in bodies if isinstance(body, (RunEvent, RunMessage))]) == 2
    (run,) = done.runs
    assert (run.worker_id, run.status) == ("w-1", RunStatus.COMPLETED)
    assert run.backend is not None
    assert run.backend.model_name == "claude"


async def test_an_old_worker_that_fails_says_why(address: str, ca: MiniCa) -> None:
    async with AsyncClient(address, ca.client()) as client, stream(address, ca.worker("w-1")) as call:
        await greet(call)
        task = await client.create(SPEC)
        run_id = (await order(call)).assign_run.run_id
        await report(call, run_id, 3)
        await report(call, run_id, 5, error_message="it broke")
        done = await ended(client, task.id)
    assert (done.status, done.runs[0].error) == (TaskStatus.FAILED, "it broke")
    assert done.runs[0].failure is FailureKind.AGENT_ERROR


async def test_an_old_worker_that_reports_completed_after_a_cancel_changes_nothing(address: str, ca: MiniCa) -> None:
    async with AsyncClient(address, ca.client()) as client, stream(address, ca.worker("w-1")) as call:
        await greet(call)
        task = await client.create(SPEC)
        run_id = (await order(call)).assign_run.run_id
        await report(call, run_id, 3)
        await client.cancel(task.id)
        assert (await order(call)).cancel_run.run_id == run_id
        await report(call, run_id, 4)
        assert (await ended(client, task.id)).status is TaskStatus.CANCELLED
        await report(call, run_id, 4)
        after = await client.create(SPEC)
        await execute(call, (await order(call)).assign_run.run_id, after.id)
        assert (await ended(client, after.id)).status is TaskStatus.COMPLETED


async def test_a_workers_report_about_anothers_run_is_refused_and_its_stream_lives(address: str, ca: MiniCa) -> None:
    async with (
        AsyncClient(address, ca.client()) as client,
        stream(address, ca.worker("w-1")) as owner,
        stream(address, ca.worker("w-2"), hello("other")) as thief,
    ):
        await greet(owner)
        await heard(thief)
        task = await client.create(SPEC)
        run_id = (await order(owner)).assign_run.run_id
        await report(thief, run_id, 4)
        await send(thief, says(output_chunk={"run_id": run_id, "content": "forged"}))
        assert (await order(thief)).cancel_run.run_id == run_id
        await execute(owner, run_id, task.id)
        story = await story_of(client, task.id)
        done = await client.get(task.id)
        others = await client.create(TaskSpec("other", "1"))
        while (given := await order(thief)).HasField("cancel_run"):
            pass
        await execute(thief, given.assign_run.run_id, others.id)
        assert (await ended(client, others.id)).status is TaskStatus.COMPLETED
    assert (done.status, done.runs[0].worker_id) == (TaskStatus.COMPLETED, "w-1")
    assert "forged" not in [text for e in story if isinstance(e.body, OutputSegment) for text in e.body.contents]


async def test_an_old_worker_that_comes_back_starts_afresh_and_its_old_runs_go_to_others(
    address: str, ca: MiniCa
) -> None:
    async with AsyncClient(address, ca.client()) as client:
        async with stream(address, ca.worker("w-1")) as call:
            await greet(call)
            task = await client.create(SPEC)
            lost = (await order(call)).assign_run.run_id
            await report(call, lost, 3)
        async with stream(address, ca.worker("w-1")) as call:
            await greet(call)
            again = (await order(call)).assign_run
            assert again.run_id != lost
            await execute(call, again.run_id, task.id)
            done = await ended(client, task.id)
    assert [run.failure for run in done.runs] == [FailureKind.WORKER_LOST, None]
    assert done.status is TaskStatus.COMPLETED


async def test_the_newer_stream_of_a_worker_wins_and_the_older_ends(address: str, ca: MiniCa) -> None:
    async with AsyncClient(address, ca.client()) as client, stream(address, ca.worker("w-1"), hello()) as old:
        await heard(old)
        async with stream(address, ca.worker("w-1"), hello()) as new:
            await heard(new)
            code, details = await status(old)
            assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "A newer stream of this worker took its place.")
            task = await client.create(SPEC)
            await execute(new, (await order(new)).assign_run.run_id, task.id)
            assert (await ended(client, task.id)).status is TaskStatus.COMPLETED
