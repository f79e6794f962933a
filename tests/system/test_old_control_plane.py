"""Our worker at work for a control plane of the system that TaskRun descends from (WIRE.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from taskrun.v1 import common_pb2 as common
from taskrun.v1 import run_service_pb2 as pb
from taskrun.v1.run_service_pb2_grpc import RunServiceServicer, add_RunServiceServicer_to_server
from tests.system.site import GATE, PATIENCE, Site, command, processes_of


class OldControlPlane(RunServiceServicer):
    """Never acks, knows no additions, reads no certificate; keeps whatever workers say."""

    def __init__(self) -> None:
        self.heard: list[pb.RunClientMessage] = []
        self._news = asyncio.Condition()
        self._orders: asyncio.Queue[pb.RunServerMessage] = asyncio.Queue()

    async def StreamConnect(
        self, request_iterator: AsyncIterator[pb.RunClientMessage], context: object
    ) -> AsyncIterator[pb.RunServerMessage]:
        reading = asyncio.create_task(self._read(request_iterator))
        try:
            while True:
                yield await self._orders.get()
        finally:
            reading.cancel()

    async def _read(self, messages: AsyncIterator[pb.RunClientMessage]) -> None:
        async for message in messages:
            async with self._news:
                self.heard.append(message)
                self._news.notify_all()

    def order(self, **payload: object) -> None:
        """Tells the worker something."""
        self._orders.put_nowait(pb.RunServerMessage(**payload))  # type: ignore[arg-type]  # one of its fields

    def assign(self, run_id: str, agent: str, input: object) -> None:
        """Gives the worker a run."""
        run = pb.RunAssignment(run_id=run_id, task_id="task", agent_name=agent, input_json=json.dumps(input))
        self.order(assign_run=run)

    async def hears(self, run_id: str, wanted: Callable[[pb.RunClientMessage], bool]) -> list[pb.RunClientMessage]:
        """What was said of a run, once this is among it."""

        def said() -> list[pb.RunClientMessage]:
            return [message for message in self.heard if _run_of(message) == run_id]

        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: any(map(wanted, said())))
        return said()


def _run_of(message: pb.RunClientMessage) -> str:
    payload = getattr(message, message.WhichOneof("payload") or "hello")
    return getattr(payload, "run_id", "")


def _is_end(message: pb.RunClientMessage) -> bool:
    return message.status_update.status >= common.RUN_STATUS_COMPLETED


#: All that an old control plane understands.
OLD_WORDS = {"hello", "heartbeat", "status_update", "output_chunk", "event", "chat_message"}
#: Says its input and, a little later, something else.
LINES = command("lines", "cat; sleep 0.1; echo; echo the end")


@asynccontextmanager
async def old_control_plane(certs: Path) -> AsyncIterator[tuple[OldControlPlane, str]]:
    """One that listens, and where."""
    pems = {name: (certs / name).read_bytes() for name in ("ca.crt", "server.crt", "server.key")}
    credentials = grpc.ssl_server_credentials(
        [(pems["server.key"], pems["server.crt"])], root_certificates=pems["ca.crt"], require_client_auth=True
    )
    plane, server = OldControlPlane(), grpc.aio.server()
    add_RunServiceServicer_to_server(plane, server)
    port = server.add_secure_port("[::1]:0", credentials)
    await server.start()
    try:
        yield plane, f"[::1]:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
async def old_plane(tmp_path: Path) -> AsyncIterator[OldControlPlane]:
    """An old control plane with one of our workers."""
    with Site(tmp_path) as site:
        async with old_control_plane(site.certs) as (plane, addr):
            worker = site.launch_worker("one", agents=[LINES, GATE], addr=addr)
            await asyncio.to_thread(worker.wait_for, "connected")
            yield plane
            worker.kill()


async def test_our_worker_does_its_job_for_an_old_control_plane_in_the_old_way(old_plane: OldControlPlane) -> None:
    old_plane.assign("run-1", "lines", "Hello")
    said = await old_plane.hears("run-1", _is_end)
    assert old_plane.heard[0].hello.info.worker_id == "one"
    chunks = [message.output_chunk for message in said if message.HasField("output_chunk")]
    assert "".join(chunk.content for chunk in chunks) == "Hello\nthe end\n"
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.is_final for chunk in chunks] == [*[False] * (len(chunks) - 1), True]
    assert [message.status_update.status for message in (said[0], said[-1])] == [
        common.RUN_STATUS_RUNNING,
        common.RUN_STATUS_COMPLETED,
    ]
    assert {message.WhichOneof("payload") for message in old_plane.heard} <= OLD_WORDS


async def test_our_worker_obeys_an_old_control_plane_s_cancel(old_plane: OldControlPlane, gate: Path) -> None:
    old_plane.assign("run-1", "gate", str(gate))
    await old_plane.hears("run-1", lambda message: "BEGUN" in message.output_chunk.content)
    assert processes_of("run-1") != []
    old_plane.order(cancel_run=pb.CancelRun(run_id="run-1", reason="enough"))
    said = await old_plane.hears("run-1", _is_end)
    assert said[-1].status_update.status == common.RUN_STATUS_CANCELLED
    assert processes_of("run-1") == []
