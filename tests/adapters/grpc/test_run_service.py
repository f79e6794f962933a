"""The run stream against workers that are old, slow, broken or hostile. After each the server serves on."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any

import grpc
import pytest

from taskrun.adapters.grpc.run_service import StreamTimers
from taskrun.domain.errors import Unavailable
from taskrun.domain.protocol import AssignRun, CancelRun, Heartbeat, RunReport
from taskrun.domain.records import OutputSegment
from taskrun.domain.status import RunStatus, WorkerStatus
from taskrun.v1 import run_service_pb2 as pb
from tests.adapters.grpc.conftest import Plane
from tests.adapters.grpc.raw import heard, hello, send, status, stream
from tests.adapters.grpc.stubs import PATIENCE

S = grpc.StatusCode


def message(**payload: Any) -> pb.RunClientMessage:
    return pb.RunClientMessage(**payload)


BAD_FIRST: dict[str, tuple[pb.RunClientMessage | bytes, S]] = {
    "no hello": (message(heartbeat={"status": 1}), S.FAILED_PRECONDITION),
    "hello without info": (message(hello=pb.WorkerHello()), S.INVALID_ARGUMENT),
    "nothing": (message(), S.FAILED_PRECONDITION),
    "random bytes": (os.urandom(512) + b"\xff", S.INVALID_ARGUMENT),
    "bad agent name": (hello("Not A Name"), S.INVALID_ARGUMENT),
    "agent of another alphabet": (hello("général"), S.INVALID_ARGUMENT),
    "a long hello": (hello("a" * 63, "b" * 70_000), S.INVALID_ARGUMENT),
    "5 MiB": (hello("a" * 5 * 1024 * 1024), S.RESOURCE_EXHAUSTED),
}
BAD_LATER: dict[str, tuple[pb.RunClientMessage | bytes, S, str]] = {
    "second hello": (hello(), S.FAILED_PRECONDITION, "one hello"),
    "nothing": (message(), S.INVALID_ARGUMENT, "says nothing"),
    "random bytes": (os.urandom(512) + b"\xff", S.INVALID_ARGUMENT, "no taskrun.v1.RunClientMessage"),
    "no UTF-8": (b"\x1a\x04\x0a\x02\xff\xff", S.INVALID_ARGUMENT, "no taskrun.v1.RunClientMessage"),
    "unknown run status": (message(status_update={"run_id": "r", "status": 99}), S.INVALID_ARGUMENT, "99 is no"),
    "run status of ours": (message(status_update={"run_id": "r", "status": 2}), S.INVALID_ARGUMENT, "2 is no"),
    "no run status": (message(status_update={"run_id": "r"}), S.INVALID_ARGUMENT, "missing"),
    "unknown worker status": (message(heartbeat={"status": 99}), S.INVALID_ARGUMENT, "99 is no worker status"),
    "no event type": (message(event={"run_id": "r"}), S.INVALID_ARGUMENT, "event type is missing"),
    "unknown role": (message(chat_message={"run_id": "r", "message": {"role": 9}}), S.INVALID_ARGUMENT, "9 is no"),
    "unknown failure": (
        message(status_update={"run_id": "r", "status": 5, "failure_kind": 77}),
        S.INVALID_ARGUMENT,
        "77 is no failure kind",
    ),
    "no run id": (message(status_update={"status": 3}), S.INVALID_ARGUMENT, "run id"),
    "a long run id": (message(output_chunk={"run_id": "r" * 200, "content": "x"}), S.INVALID_ARGUMENT, "run id"),
    "a negative time": (message(heartbeat={"status": 1, "timestamp_ms": -1}), S.INVALID_ARGUMENT, "timestamp_ms"),
    "too many slots": (message(heartbeat={"status": 1, "max_concurrent_runs": 2**32 - 1}), S.INVALID_ARGUMENT, "runs"),
    "a huge seq": (message(output_chunk={"run_id": "r", "seq": 2**64 - 1}), S.INVALID_ARGUMENT, "sequence"),
    "no chunks": (message(output={"run_id": "r"}), S.INVALID_ARGUMENT, "without a chunk"),
    "too many chunks": (message(output={"run_id": "r", "contents": [""] * 10_001}), S.INVALID_ARGUMENT, "most 8192"),
    "a long chunk": (message(output={"run_id": "r", "contents": ["é" * 40_000]}), S.INVALID_ARGUMENT, "too long"),
    "a very long old chunk": (
        message(output_chunk={"run_id": "r", "content": "x" * 2_000_000}),
        S.INVALID_ARGUMENT,
        "at most 1048576",
    ),
    "a cost that is no number": (
        message(status_update={"run_id": "r", "status": 4, "usage": {"cost_usd": float("nan")}}),
        S.INVALID_ARGUMENT,
        "cost_usd",
    ),
    "hello in a batch": (message(batch={"messages": [hello()]}), S.FAILED_PRECONDITION, "one hello"),
    "batch in a batch": (
        message(batch={"messages": [message(batch={"messages": []})]}),
        S.INVALID_ARGUMENT,
        "another batch",
    ),
    "5 MiB": (message(output_chunk={"run_id": "r", "content": "x" * 5 * 1024 * 1024}), S.RESOURCE_EXHAUSTED, ""),
}


@pytest.mark.parametrize("case", BAD_FIRST)
async def test_a_bad_first_message_ends_the_stream_with_a_clear_status(plane: Plane, case: str) -> None:
    first, expected = BAD_FIRST[case]
    async with stream(plane.address, plane.ca.worker(), first) as call:
        code, details = await status(call)
    assert (code, bool(details)) == (expected, True)
    assert not plane.gateway.sessions


@pytest.mark.parametrize("case", BAD_LATER)
async def test_a_bad_message_ends_its_stream_with_a_clear_status_and_no_other(plane: Plane, case: str) -> None:
    bad, expected, says = BAD_LATER[case]
    async with stream(plane.address, plane.ca.worker("other"), hello()) as other:
        await heard(other)
        async with stream(plane.address, plane.ca.worker(), hello()) as call:
            await heard(call)
            await send(call, bad)
            code, details = await status(call)
            assert code is expected
            assert says in details
            await plane.gateway.until(lambda: plane.gateway.sessions[2].over)
        assert plane.gateway.sessions[2].received == []
        await send(other, message(heartbeat={"status": 1, "timestamp_ms": 7}))
        await plane.gateway.until(lambda: plane.gateway.sessions[1].received)
        assert not plane.gateway.sessions[1].over


@pytest.mark.parametrize("plane", [StreamTimers(hello=0.1)], indirect=True)
async def test_a_stream_without_a_hello_is_ended_within_its_time_limit(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker()) as call:
        async with asyncio.timeout(PATIENCE):
            code, details = await status(call)
    assert (code, details) == (S.FAILED_PRECONDITION, "No hello came within 0.1 s.")


@pytest.mark.parametrize("plane", [StreamTimers(hello=0.1)], indirect=True)
async def test_the_time_limit_for_the_hello_does_not_end_a_stream_that_said_it(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        await asyncio.sleep(0.3)  # time itself is the subject
        plane.gateway.sessions[1].outbox.send([CancelRun("r-1", "why")])
        assert (await heard(call)).cancel_run.run_id == "r-1"


async def test_the_certificate_says_who_the_worker_is_whatever_it_claims(plane: Plane, lines: list[str]) -> None:
    async with stream(plane.address, plane.ca.worker("w-7"), hello(claimed="b1946ac9")) as call:
        assert (await heard(call)).ack.ref_id == "w-7"
        for _ in range(3):
            await send(call, message(heartbeat={"worker_id": "someone-else", "status": 1}))
        session = await plane.gateway.session()
        await plane.gateway.until(lambda: len(session.received) == 3)
    assert session.worker_id == "w-7"
    assert [line for line in lines if "b1946ac9" in line] == [
        "INFO {'worker_id': 'w-7'} the worker calls itself 'b1946ac9'; its certificate counts\n"
    ]


async def test_many_messages_in_one_arrive_together_and_in_order(plane: Plane) -> None:
    batch = [
        message(status_update={"run_id": "r-1", "status": 3}),
        message(output={"run_id": "r-1", "first_seq": 0, "contents": ["a", "b"]}),
        message(output_chunk={"run_id": "r-1", "seq": 2, "is_final": True}),
        message(heartbeat={"status": 2, "active_runs": 1, "max_concurrent_runs": 4, "timestamp_ms": 9}),
    ]
    frame = message(batch={"messages": batch})
    async with stream(plane.address, plane.ca.worker(), hello(features=("batch",)), frame):
        session = await plane.gateway.session()
        await plane.gateway.until(lambda: session.received)
    assert session.batches == [4]
    assert session.sizes == [frame.ByteSize()]
    assert session.received == [
        RunReport("r-1", RunStatus.RUNNING),
        OutputSegment("r-1", 0, ("a", "b")),
        OutputSegment("r-1", 2, ("",)),
        Heartbeat(WorkerStatus.BUSY, 1, 4, 9),
    ]


async def test_a_worker_that_announced_batches_gets_what_gathered_as_one_message(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello(features=("batch", "telepathy"))) as call:
        assert (await heard(call)).ack.features == ["batch", "follow_up", "resume"]
        plane.gateway.sessions[1].outbox.send([CancelRun(f"r-{n}", "") for n in range(3)])
        orders = (await heard(call)).batch.messages
    assert [order.cancel_run.run_id for order in orders] == ["r-0", "r-1", "r-2"]


async def test_an_old_worker_gets_one_message_at_a_time(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        plane.gateway.sessions[1].outbox.send([CancelRun(f"r-{n}", "") for n in range(3)])
        assert [(await heard(call)).cancel_run.run_id for _ in range(3)] == ["r-0", "r-1", "r-2"]


async def test_a_batch_stays_within_what_a_peer_takes(plane: Plane) -> None:
    orders = [AssignRun(f"r-{n}", "t", "general", '"' + "x" * 600_000 + '"') for n in range(12)]
    got: list[str] = []
    async with stream(plane.address, plane.ca.worker(), hello(features=("batch",))) as call:
        await heard(call)
        plane.gateway.sessions[1].outbox.send(orders)
        while len(got) < len(orders):
            batch = (await heard(call)).batch.messages
            assert len(batch) == 2
            got += [part.assign_run.run_id for part in batch]
    assert got == [order.run_id for order in orders]


async def test_a_stream_that_is_closed_gets_what_was_queued_and_then_the_reason(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        outbox = plane.gateway.sessions[1].outbox
        outbox.send([CancelRun("r-1", "why")])
        outbox.close(Unavailable("The control plane is shutting down."))
        outbox.close(Unavailable("A second reason counts for nothing."))
        outbox.send([CancelRun("r-2", "too late")])
        assert (await heard(call)).cancel_run.run_id == "r-1"
        assert await status(call) == (S.UNAVAILABLE, "The control plane is shutting down.")
    await plane.gateway.until(lambda: plane.gateway.sessions[1].over)


async def test_a_control_plane_that_lets_nobody_in_says_so(plane: Plane) -> None:
    plane.gateway.refusal = Unavailable("Not now.")
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        assert await status(call) == (S.UNAVAILABLE, "Not now.")


async def test_why_a_stream_was_ended_is_logged(plane: Plane, lines: list[str]) -> None:
    async with stream(plane.address, plane.ca.worker("w-7"), hello(), hello()) as call:
        await status(call)
    assert "WARNING {'worker_id': 'w-7'} ended the stream: A stream has one hello, as its first message.\n" in lines


async def test_a_stream_that_its_worker_ends_is_not_worth_a_warning(plane: Plane, lines: list[str]) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        await call.done_writing()
        await status(call)
    assert lines == []


async def test_a_worker_that_hangs_up_is_noticed_at_once(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        await call.done_writing()
        assert await status(call) == (S.OK, "")
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
    await plane.gateway.until(lambda: all(plane.gateway.sessions[n].over for n in (1, 2)))


async def test_the_end_of_an_old_stream_leaves_the_workers_new_one_alone(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as old:
        await heard(old)
        async with stream(plane.address, plane.ca.worker(), hello()) as new:
            await heard(new)
            plane.gateway.sessions[1].outbox.close(Unavailable("A newer stream took its place."))
            await status(old)
            await plane.gateway.until(lambda: plane.gateway.sessions[1].over)
            assert not plane.gateway.sessions[2].over
            plane.gateway.sessions[2].outbox.send([CancelRun("r-1", "why")])
            assert (await heard(new)).cancel_run.run_id == "r-1"


async def test_a_second_hello_registers_nobody_and_ends_the_stream(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello(), hello("another")) as call:
        assert await status(call) == (S.FAILED_PRECONDITION, "A stream has one hello, as its first message.")
    await plane.gateway.until(lambda: plane.gateway.sessions[1].over)
    assert len(plane.gateway.sessions) == 1


@pytest.mark.parametrize("plane", [StreamTimers(stall=0.5)], indirect=True)
async def test_a_worker_that_does_not_read_is_cut_and_holds_up_nobody(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker("deaf"), hello()) as deaf:
        await heard(deaf)
        async with stream(plane.address, plane.ca.worker("good"), hello()) as good:
            await heard(good)
            orders = [AssignRun(f"r-{n}", "t", "general", "x" * 500_000) for n in range(40)]
            plane.gateway.sessions[1].outbox.send(orders)
            plane.gateway.sessions[2].outbox.send([CancelRun("r-1", "why")])
            assert (await heard(good)).cancel_run.run_id == "r-1"
            assert not plane.gateway.sessions[1].over
            await plane.gateway.until(lambda: plane.gateway.sessions[1].over)
            assert not plane.gateway.sessions[2].over
        assert await status(deaf) == (S.UNAVAILABLE, "The worker does not read what it is sent.")


async def test_a_worker_is_cut_when_far_too_much_waits_for_it(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        plane.gateway.sessions[1].outbox.send([CancelRun("r", "")] * 50_001)
        assert await status(call) == (S.UNAVAILABLE, "The worker does not read what it is sent.")


async def test_a_stream_ends_with_its_certificate(plane: Plane) -> None:
    async with stream(plane.address, plane.ca.worker(lasts=timedelta(seconds=4)), hello()) as call:
        await heard(call)
        async with asyncio.timeout(PATIENCE):
            assert await status(call) == (S.UNAUTHENTICATED, "The client certificate has expired.")
    await plane.gateway.until(lambda: plane.gateway.sessions[1].over)


async def test_a_bug_of_ours_ends_the_stream_without_telling_what_it_was(plane: Plane, lines: list[str]) -> None:
    async with stream(plane.address, plane.ca.worker(), hello()) as call:
        await heard(call)
        plane.gateway.sessions[1].received = None  # type: ignore[assignment]
        await send(call, message(heartbeat={"status": 1}))
        assert await status(call) == (S.INTERNAL, "internal error")
    assert any("TypeError" in line for line in lines)
