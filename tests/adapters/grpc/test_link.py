"""The worker's side of the run stream, against our control plane and against an old one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest

from taskrun.adapters.grpc import link as link_module
from taskrun.adapters.grpc.codec_orders import encode_to_worker
from taskrun.adapters.grpc.link import GrpcConnector, GrpcLink
from taskrun.domain.errors import (
    InvalidArgument,
    PermissionDenied,
    ProtocolViolation,
    TaskRunError,
    Unauthenticated,
    Unavailable,
)
from taskrun.domain.protocol import (
    FEATURES,
    AssignRun,
    CancelRun,
    FromWorker,
    Heartbeat,
    Hello,
    HelloAck,
    RunReport,
    ToWorker,
)
from taskrun.domain.records import AgentSpec, OutputSegment, RunEvent, RunMessage, WorkerInfo
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, WorkerStatus
from taskrun.v1 import run_service_pb2 as pb
from tests.adapters.grpc.certificates import MiniCa, always
from tests.adapters.grpc.conftest import Plane
from tests.adapters.grpc.raw import STREAM
from tests.adapters.grpc.stubs import PATIENCE, Bell

HELLO = Hello(WorkerInfo("host", "1.0", (AgentSpec("general"),)), frozenset({"batch"}), 4)
BEAT = Heartbeat(WorkerStatus.IDLE, 0, 4, 7)
RUN: list[FromWorker] = [
    RunReport("r-1", RunStatus.RUNNING),
    RunEvent("r-1", RunEventType.TOOL_REQUESTED, {"tool": "Bash"}),
    OutputSegment("r-1", 0, ("a", "b")),
    OutputSegment("r-1", 2, ("c",)),
    RunMessage("r-1", ChatRole.ASSISTANT, "done"),
    RunReport("r-1", RunStatus.COMPLETED, session_id="s"),
]


@asynccontextmanager
async def connected(address: str, ca: MiniCa, greeting: float = 10.0) -> AsyncIterator[GrpcLink]:
    link = await GrpcConnector(address, always(ca.worker("w-1")), greeting).connect(HELLO)
    yield link
    await link.close()


async def first(link: GrpcLink) -> list[ToWorker]:
    """The next message of the stream."""
    async with asyncio.timeout(PATIENCE):
        async for orders in link.incoming():
            return list(orders)
    raise AssertionError("the stream ended")


# Our control plane.


async def test_the_hello_arrives_and_is_answered(plane: Plane) -> None:
    async with connected(plane.address, plane.ca) as link:
        assert await first(link) == [HelloAck("w-1", frozenset(FEATURES))]
        session = await plane.gateway.session()
    assert (session.hello.info, session.hello.max_concurrent_runs) == (HELLO.info, 4)
    assert session.hello.features == {"batch"}


async def test_once_batches_are_announced_everything_goes_in_one_message(plane: Plane) -> None:
    async with connected(plane.address, plane.ca) as link:
        await first(link)
        await link.send([*RUN, BEAT])
        session = await plane.gateway.session()
        await plane.gateway.until(lambda: len(session.received) == 7)
    assert session.batches == [7]
    assert session.received == [*RUN, BEAT]


async def test_output_that_is_too_much_for_one_message_goes_in_several(plane: Plane) -> None:
    chunks = tuple(str(n % 10) * 60_000 for n in range(100))
    async with connected(plane.address, plane.ca) as link:
        await first(link)
        await link.send([OutputSegment("r-1", 0, chunks)])
        session = await plane.gateway.session()

        def arrived() -> list[OutputSegment]:
            return [message for message in session.received if isinstance(message, OutputSegment)]

        await plane.gateway.until(lambda: sum(len(segment.contents) for segment in arrived()) == 100)
    assert tuple(text for segment in arrived() for text in segment.contents) == chunks
    assert [segment.first_seq for segment in arrived()][:3] == [0, 17, 34]


async def test_what_is_assigned_arrives(plane: Plane) -> None:
    order = AssignRun("r-1", "t-1", "general", '{"a": 1}', {"x": "y"}, 2, 1000, 5000)
    async with connected(plane.address, plane.ca) as link:
        await first(link)
        plane.gateway.sessions[1].outbox.send([order, CancelRun("r-2", "why")])
        assert await first(link) == [order, CancelRun("r-2", "why")]


async def test_what_was_sent_last_arrives_although_the_link_is_closed_at_once(plane: Plane) -> None:
    async with connected(plane.address, plane.ca) as link:
        await first(link)
        reading = asyncio.create_task(first(link))
        await link.send([BEAT])
        reading.cancel()
        await link.close()
        await link.close()
    assert plane.gateway.sessions[1].received == [BEAT]
    assert plane.gateway.sessions[1].over


async def test_a_closed_link_is_unavailable(plane: Plane) -> None:
    async with connected(plane.address, plane.ca) as link:
        await first(link)
        await link.close()
        with pytest.raises(Unavailable):
            await link.send([BEAT])
        with pytest.raises((Unavailable, AssertionError)):
            await first(link)


ENDS: list[tuple[TaskRunError, type[TaskRunError]]] = [
    (Unavailable("Later."), Unavailable),
    (PermissionDenied("Never."), PermissionDenied),
    (Unauthenticated("Who?"), Unauthenticated),
    (ProtocolViolation("What?"), Unavailable),
    (InvalidArgument("What?"), InvalidArgument),
]


@pytest.mark.parametrize(("end", "kind"), ENDS)
async def test_the_end_of_a_stream_says_whether_to_come_again(
    plane: Plane, end: TaskRunError, kind: type[TaskRunError]
) -> None:
    async with connected(plane.address, plane.ca) as link:
        await first(link)
        plane.gateway.sessions[1].outbox.close(end)
        with pytest.raises(kind, match=end.message.replace("?", r"\?")):
            await first(link)
        with pytest.raises(kind):
            await link.send([BEAT])


async def test_a_worker_that_is_refused_is_told_when_it_connects(plane: Plane) -> None:
    with pytest.raises(PermissionDenied, match="does not allow"):
        await GrpcConnector(plane.address, always(plane.ca.client())).connect(HELLO)
    plane.gateway.refusal = Unavailable("Not now.")
    with pytest.raises(Unavailable, match="Not now"):
        await GrpcConnector(plane.address, always(plane.ca.worker())).connect(HELLO)


async def test_a_control_plane_that_does_not_answer_at_all_is_given_up(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_CONNECT", 0.2)
    given_up = pytest.raises(Unavailable, match="it did not answer in time")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as silent, given_up:
        await GrpcConnector(f"[::1]:{silent.getsockname()[1]}", always(plane.ca.worker())).connect(HELLO)


async def test_nobody_there_is_unavailable(ca: MiniCa) -> None:
    with pytest.raises(Unavailable, match="nothing listens there"):
        await GrpcConnector("[::1]:1", always(ca.worker())).connect(HELLO)


async def test_a_worker_whose_certificate_has_expired_says_so_and_gives_up(plane: Plane) -> None:
    with pytest.raises(Unauthenticated, match="The certificate expired on"):
        await GrpcConnector(plane.address, always(plane.ca.worker(lasts=timedelta(seconds=-1)))).connect(HELLO)


async def test_a_worker_whose_clock_is_behind_says_so_and_comes_again(plane: Plane) -> None:
    with pytest.raises(Unavailable, match="and here it is"):
        await GrpcConnector(plane.address, always(plane.ca.worker(age=timedelta(minutes=-5)))).connect(HELLO)


def test_an_address_without_tls_is_refused(ca: MiniCa) -> None:
    with pytest.raises(InvalidArgument, match="without TLS"):
        GrpcConnector("http://localhost:1", always(ca.worker()))


# An old control plane (WIRE.md): it never acks, and knows none of the additions.


class OldControlPlane(Bell):
    """Answers every hello with these orders, and keeps what it hears."""

    def __init__(self, *orders: pb.RunServerMessage | bytes) -> None:
        super().__init__()
        self._orders = orders
        self.heard: list[pb.RunClientMessage] = []

    async def serve(self, requests: Any, context: Any) -> None:
        while (data := await context.read()) is not grpc.aio.EOF:
            self.heard.append(pb.RunClientMessage.FromString(data))
            if self.heard[-1].HasField("hello"):
                for order in self._orders:
                    await context.write(order if isinstance(order, bytes) else order.SerializeToString())
            self.ring()

    def said(self) -> list[str | None]:
        return [message.WhichOneof("payload") for message in self.heard]


@asynccontextmanager
async def served(ca: MiniCa, serve: Callable[[Any, Any], Any]) -> AsyncIterator[str]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    _, _, service, method = ("", *STREAM.split("/"))
    handler: Any = grpc.stream_stream_rpc_method_handler(serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    tls = ca.server()
    port = server.add_secure_port(
        "[::1]:0", grpc.ssl_server_credentials([(tls.key_pem, tls.cert_pem)], tls.ca_pem, require_client_auth=True)
    )
    await server.start()
    yield f"[::1]:{port}"
    await server.stop(0)


async def test_an_old_control_plane_hears_exactly_what_an_old_worker_says(ca: MiniCa) -> None:
    assignment = pb.RunAssignment(run_id="r-1", task_id="t-1", agent_name="general", input_json="1")
    old = OldControlPlane(pb.RunServerMessage(assign_run=assignment))
    async with served(ca, old.serve) as address, connected(address, ca, 0.05) as link:
        await link.send([BEAT])
        assert await first(link) == [AssignRun("r-1", "t-1", "general", "1")]
        await link.send(RUN)
        await old.until(lambda: len(old.heard) == 10)
    assert old.said() == [
        "hello",
        "heartbeat",
        "status_update",
        "event",
        "output_chunk",
        "output_chunk",
        "output_chunk",
        "chat_message",
        "output_chunk",
        "status_update",
    ]
    assert old.heard[0].hello.info.worker_id == old.heard[1].heartbeat.worker_id == "w-1"
    assert old.heard[3].event.task_id == "t-1"
    chunks = [message.output_chunk for message in old.heard if message.HasField("output_chunk")]
    assert [(chunk.seq, chunk.content, chunk.is_final) for chunk in chunks] == [
        (0, "a", False),
        (1, "b", False),
        (2, "c", False),
        (3, "", True),
    ]
    assert all(chunk.timestamp_ms > 0 for chunk in chunks)


async def test_a_control_plane_that_announces_batches_late_gets_them_from_then_on(ca: MiniCa) -> None:
    late = OldControlPlane()

    async def serve(requests: Any, context: Any) -> None:
        await context.read()
        await late.until(lambda: late.heard)
        await context.write(encode_to_worker(HelloAck("w-1", frozenset({"batch"}))).SerializeToString())
        await late.serve(requests, context)

    async with served(ca, serve) as address, connected(address, ca, 0.05) as link:
        late.heard.append(pb.RunClientMessage())
        late.ring()
        assert await first(link) == [HelloAck("w-1", frozenset({"batch"}))]
        await link.send(RUN)
        await late.until(lambda: len(late.heard) == 2)
    assert [part.WhichOneof("payload") for part in late.heard[1].batch.messages] == [
        "status_update",
        "event",
        "output",
        "output",
        "chat_message",
        "status_update",
    ]


async def test_an_old_control_plane_hears_of_a_run_without_output_and_of_one_not_taken(ca: MiniCa) -> None:
    old = OldControlPlane()
    async with served(ca, old.serve) as address, connected(address, ca, 0.05) as link:
        await link.send([RunReport("r-1", RunStatus.RUNNING), RunReport("r-1", RunStatus.FAILED, "no")])
        await link.send([RunReport("r-2", RunStatus.FAILED, "full", FailureKind.REJECTED)])
        await old.until(lambda: len(old.heard) == 5)
    assert old.said() == ["hello", "status_update", "output_chunk", "status_update", "status_update"]
    assert (old.heard[2].output_chunk.seq, old.heard[2].output_chunk.is_final) == (0, True)


async def test_an_old_control_plane_that_ends_the_stream_ends_the_link(ca: MiniCa) -> None:
    async def serve(requests: Any, context: Any) -> None:
        await context.read()

    async with served(ca, serve) as address, connected(address, ca) as link:
        async with asyncio.timeout(PATIENCE):
            assert [orders async for orders in link.incoming()] == []
        with pytest.raises(Unavailable, match="ended the stream"):
            await link.send([BEAT])


@pytest.mark.parametrize("nonsense", [b"\xff\xff\xff", b""])
async def test_a_control_plane_that_talks_nonsense_is_left(ca: MiniCa, nonsense: bytes) -> None:
    old = OldControlPlane(nonsense)
    async with served(ca, old.serve) as address, connected(address, ca, 0.05) as link:
        with pytest.raises(Unavailable, match="what no worker understands"):
            await first(link)
