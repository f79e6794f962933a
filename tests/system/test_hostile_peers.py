"""Peers that are broken or mean no good: each is told so, and the control plane serves on."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from taskrun.adapters.grpc.tls import ClientTls
from taskrun.domain.status import TaskStatus
from taskrun.v1.common_pb2 import WORKER_STATUS_IDLE, RunStatus
from taskrun.v1.run_service_pb2 import RunOutputChunk, RunStatusUpdate, WorkerHeartbeat
from taskrun.v1.task_service_pb2 import CreateTaskRequest, ListTasksRequest
from tests.system.raw import RawStream, ask
from tests.system.site import Site, only_run, soon

CREATE, LIST = "/taskrun.v1.TaskService/CreateTask", "/taskrun.v1.TaskService/ListTasks"
MEBIBYTE = 1024 * 1024
#: Not UTF-8, no protobuf message and no TLS.
NONSENSE = random.Random(1).randbytes(4096)


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all attacks."""
    with Site(tmp_path_factory.mktemp("fortress")) as site:
        site.start_plane()
        site.start_worker("good")
        yield site


@pytest.fixture(autouse=True)
def the_control_plane_serves_on(fortress: Site) -> Iterator[None]:
    """After every test a task goes through, on the connections that were there before."""
    yield
    task = fortress.create("echo", "Still there?")
    assert fortress.end_of(task.id).status is TaskStatus.COMPLETED


@pytest.fixture
def evil(fortress: Site) -> ClientTls:
    """A certificate that lets a worker in."""
    return fortress.identity("evil")


@pytest.fixture
def stream(fortress: Site, evil: ClientTls) -> Iterator[RawStream]:
    """A worker's stream that nothing was sent on yet."""
    with RawStream(fortress.grpc_addr, evil) as stream:
        yield stream


# Random bytes.


def test_random_bytes_on_the_port_end_that_connection_and_nothing_else(fortress: Site) -> None:
    with socket.create_connection(("::1", fortress.grpc_port), timeout=30) as connection:
        connection.sendall(NONSENSE)
        # The answer is at most a TLS alert; then the end.
        while connection.recv(4096):
            pass


def test_random_bytes_as_a_call_are_refused(fortress: Site) -> None:
    code, message = ask(fortress.grpc_addr, fortress.admin(), CREATE, NONSENSE)
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "The request cannot be read.")


def test_random_bytes_as_a_hello_are_refused(stream: RawStream) -> None:
    stream.send_bytes(NONSENSE)
    assert stream.status() == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "The bytes are no taskrun.v1.RunClientMessage.",
    )


def test_random_bytes_after_the_hello_are_refused(stream: RawStream) -> None:
    stream.send_hello("evil")
    stream.send_bytes(NONSENSE)
    code, _ = stream.status()
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_of_noise_ends_with_a_clear_status(fortress: Site, evil: ClientTls, seed: int) -> None:
    noise = random.Random(seed)
    with RawStream(fortress.grpc_addr, evil) as stream:
        stream.send_hello("evil")
        for _ in range(100):
            stream.send_bytes(noise.randbytes(noise.randrange(1, 200)))
        code, message = stream.status()
    assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
    assert message


# Out of turn.


def test_a_second_hello_ends_the_stream(stream: RawStream, fortress: Site) -> None:
    stream.send_hello("evil")
    stream.send_hello("evil", claimed_id="another")
    code, message = stream.status()
    assert (code, message) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "A stream has one hello, as its first message.",
    )
    soon(lambda: fortress.worker_ids() == ["good"])


def test_a_stream_that_does_not_begin_with_a_hello_is_refused(stream: RawStream) -> None:
    stream.send(heartbeat=WorkerHeartbeat(worker_id="good"))
    code, message = stream.status()
    assert (code, message) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "The first message of a stream must be a hello.",
    )


# In another's name.


@pytest.fixture
def anothers_run(fortress: Site, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A task and its run that the good worker has."""
    gate = tmp_path / "gate"
    task = fortress.begin(gate)
    yield task.id, only_run(task)
    gate.touch()
    done = fortress.end_of(task.id)
    assert (done.status, done.runs[-1].worker_id, len(done.runs)) == (TaskStatus.COMPLETED, "good", 1)


def test_a_worker_cannot_write_into_another_s_run(
    stream: RawStream, fortress: Site, anothers_run: tuple[str, str]
) -> None:
    task_id, run_id = anothers_run
    stream.send_hello("evil")
    stream.send(output_chunk=RunOutputChunk(run_id=run_id, seq=1, content="FORGED"))
    assert stream.receive("cancel_run").reason == "the run is over or belongs to another worker"
    assert fortress.client.get(task_id).status is TaskStatus.RUNNING


def test_a_worker_cannot_end_another_s_run(stream: RawStream, fortress: Site, anothers_run: tuple[str, str]) -> None:
    task_id, run_id = anothers_run
    refused = fortress.metrics()["taskrun_stale_messages_total"]
    stream.send_hello("evil", claimed_id="good")
    for status in (RunStatus.RUN_STATUS_COMPLETED, RunStatus.RUN_STATUS_FAILED, RunStatus.RUN_STATUS_CANCELLED):
        stream.send(status_update=RunStatusUpdate(run_id=run_id, status=status))
    stream.send(
        heartbeat=WorkerHeartbeat(worker_id="good", status=WORKER_STATUS_IDLE, max_concurrent_runs=1, timestamp_ms=7)
    )
    stream.receive("ack")
    stream.receive("ack")
    assert fortress.metrics()["taskrun_stale_messages_total"] == refused + 3
    assert fortress.client.get(task_id).status is TaskStatus.RUNNING


def test_what_a_worker_calls_itself_makes_it_nobody_else(stream: RawStream, fortress: Site) -> None:
    stream.send_hello("evil", claimed_id="good")
    stream.receive("ack")
    assert {worker.id: worker.info.hostname for worker in fortress.client.workers()}["evil"] == "old"


def test_a_worker_s_certificate_lets_nobody_create_a_task(fortress: Site, evil: ClientTls) -> None:
    request = CreateTaskRequest(agent_name="echo", input_json='"x"').SerializeToString()
    code, message = ask(fortress.grpc_addr, evil, CREATE, request)
    assert (code, message) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "The role worker does not allow /taskrun.v1.TaskService/CreateTask.",
    )


def test_a_client_s_certificate_opens_no_run_stream(fortress: Site) -> None:
    with RawStream(fortress.grpc_addr, fortress.admin()) as stream:
        stream.send_hello("evil")
        code, message = stream.status()
    assert (code, message) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "The role admin does not allow /taskrun.v1.RunService/StreamConnect.",
    )


def test_the_command_line_says_that_a_worker_s_certificate_does_not_do(fortress: Site) -> None:
    ended = fortress.run("list-tasks", cert="worker")
    assert (ended.returncode, ended.stderr) == (
        3,
        "taskrun: The role worker does not allow /taskrun.v1.TaskService/ListTasks.\n",
    )


def test_a_certificate_of_another_ca_is_not_let_in(fortress: Site, tmp_path: Path) -> None:
    with Site(tmp_path) as other:
        stranger = other.admin()
    tls = ClientTls(fortress.admin().ca_pem, stranger.cert_pem, stranger.key_pem)
    code, _ = ask(fortress.grpc_addr, tls, LIST, b"")
    assert code is grpc.StatusCode.UNAVAILABLE


# Values that mean nothing.


def test_an_unknown_status_in_a_query_is_refused_by_name(fortress: Site) -> None:
    request = ListTasksRequest(status_filter=99).SerializeToString()  # type: ignore[arg-type]  # that is the point
    assert ask(fortress.grpc_addr, fortress.admin(), LIST, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "99 is no task status.",
    )


def test_an_unknown_status_of_a_run_is_refused_by_name(stream: RawStream) -> None:
    stream.send_hello("evil")
    stream.send(status_update=RunStatusUpdate(run_id="r", status=77))  # type: ignore[arg-type]  # that is the point
    assert stream.status() == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "77 is no run status that a worker reports.",
    )


def test_an_unknown_status_of_a_worker_is_refused_by_name(stream: RawStream) -> None:
    stream.send_hello("evil")
    stream.send(heartbeat=WorkerHeartbeat(status=42))  # type: ignore[arg-type]  # that is the point
    assert stream.status() == (grpc.StatusCode.INVALID_ARGUMENT, "42 is no worker status.")


def test_the_command_line_refuses_an_unknown_status_by_name(fortress: Site) -> None:
    ended = fortress.run("list-tasks", "--status", "SLEEPING")
    assert ended.returncode == 2
    assert "'SLEEPING' is not one of" in ended.stderr


# Too much.


def test_5_mib_of_input_are_refused(fortress: Site) -> None:
    request = CreateTaskRequest(agent_name="echo", input_json=f'"{"x" * 5 * MEBIBYTE}"').SerializeToString()
    code, message = ask(fortress.grpc_addr, fortress.admin(), CREATE, request)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in message


def test_input_that_fits_into_a_message_but_is_too_long_is_refused_by_its_limit(fortress: Site) -> None:
    request = CreateTaskRequest(agent_name="echo", input_json=f'"{"x" * 2 * MEBIBYTE}"').SerializeToString()
    assert ask(fortress.grpc_addr, fortress.admin(), CREATE, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "input_json is too long: at most 1048576 bytes are allowed.",
    )


def test_the_command_line_refuses_5_mib_of_input_by_the_limit(fortress: Site, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(os.urandom(5 * MEBIBYTE // 2).hex().encode())
    ended = fortress.run("create-task", "--agent", "echo", "--input-file", str(tmp_path / "input"))
    assert (ended.returncode, ended.stderr) == (
        2,
        "taskrun: input_json is too long: at most 1048576 bytes are allowed.\n",
    )


def test_a_worker_s_message_of_5_mib_ends_its_stream(stream: RawStream) -> None:
    stream.send_hello("evil")
    stream.send(output_chunk=RunOutputChunk(run_id="r", content="x" * 5 * MEBIBYTE))
    code, message = stream.status()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in message


def test_input_that_is_no_json_is_refused(fortress: Site) -> None:
    request = CreateTaskRequest(agent_name="echo", input_json="{").SerializeToString()
    code, message = ask(fortress.grpc_addr, fortress.admin(), CREATE, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("input_json is not valid JSON")
