"""The synchronous client, as the command line uses it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest

from taskrun.adapters.grpc.client import Client
from taskrun.domain.errors import InvalidArgument, NotFound, Unavailable
from taskrun.domain.records import StoryEntry, Task, TaskChange, TaskQuery, TaskSpec
from taskrun.domain.status import TaskStatus
from tests.adapters.grpc.certificates import MiniCa
from tests.adapters.grpc.conftest import Plane

T = TypeVar("T")


async def using(plane: Plane, use: Callable[[Client], T]) -> T:
    """What `use` makes of a client in a thread of its own."""

    def run() -> T:
        with Client(plane.address, plane.ca.client("client:cli")) as client:
            return use(client)

    return await asyncio.to_thread(run)


async def test_everything_that_it_can_ask_is_answered(plane: Plane) -> None:
    plane.tasks.story = [
        [StoryEntry(0, 1, TaskChange(TaskStatus.PENDING))],
        [StoryEntry(1, 2, TaskChange(TaskStatus.FAILED))],
    ]

    def use(client: Client) -> None:
        spec = TaskSpec("general", "1")
        (task,) = client.create([spec])
        assert task == Task("t-0", spec, TaskStatus.PENDING, "cli", 1)
        assert client.get("t-0") == client.cancel("t-0") == task
        assert client.continue_task("t-0", "more", fork=True, idempotency_key="k") == task
        assert client.explain("t-0").workers == plane.tasks.fits
        assert client.find(TaskQuery()).tasks == (task,)
        assert list(client.watch("t-0")) == [tuple(entries) for entries in plane.tasks.story]
        assert list(client.create_and_watch(spec))[1:] == [tuple(entries) for entries in plane.tasks.story]
        assert client.workers() == [client.worker("w-1")]
        assert client.create_token("w-5").worker_id == "w-5"

    await using(plane, use)
    assert plane.tasks.messages == [("t-0", "more", "cli", True, "k")]


async def test_one_bad_task_does_not_spoil_the_rest(plane: Plane) -> None:
    specs = [TaskSpec("general", text) for text in ("1", '"\ud800"', "{", "2")]
    answers = await using(plane, lambda client: client.create(specs))
    kinds = [type(answer) for answer in answers]
    assert kinds == [Task, InvalidArgument, InvalidArgument, Task]


async def test_more_tasks_than_one_call_takes_are_created_by_several(plane: Plane) -> None:
    specs = [TaskSpec("general", str(n)) for n in range(2100)]
    answers = await using(plane, lambda client: client.create(specs))
    assert [answer.spec.input_json for answer in answers if isinstance(answer, Task)] == [str(n) for n in range(2100)]
    assert plane.tasks.calls == [1000, 1000, 100]


async def test_no_tasks_need_no_call(plane: Plane) -> None:
    assert await using(plane, lambda client: client.create([])) == []
    assert plane.tasks.calls == []


async def test_an_unknown_task_is_not_found(plane: Plane) -> None:
    def use(client: Client) -> None:
        with pytest.raises(NotFound):
            client.get("?")
        with pytest.raises(NotFound):
            next(client.watch("?"))

    await using(plane, use)


async def test_closing_a_watch_ends_it_on_the_other_side_too(plane: Plane) -> None:
    plane.tasks.story = [[StoryEntry(0, 1, TaskChange(TaskStatus.PENDING))]]
    plane.tasks.goes_on = True

    def use(client: Client) -> None:
        client.create([TaskSpec("general", "1")])
        watching = client.watch("t-0")
        next(watching)
        watching.close()

    await using(plane, use)
    await plane.tasks.until(lambda: plane.tasks.watchers == 0)


async def test_a_control_plane_that_does_not_answer_in_time_is_unavailable(plane: Plane) -> None:
    plane.tasks.gate.clear()

    def use() -> None:
        with (
            Client(plane.address, plane.ca.client(), timeout=0.2) as client,
            pytest.raises(Unavailable, match="in time"),
        ):
            client.create([TaskSpec("general", "1")])

    await asyncio.to_thread(use)
    plane.tasks.gate.set()


def test_nobody_there_is_said_in_one_sentence(ca: MiniCa) -> None:
    says = pytest.raises(Unavailable, match=r"^Cannot reach https://\[::1\]:1: nothing listens there\.$")
    with Client("https://[::1]:1", ca.client()) as client, says:
        client.workers()


def test_the_module_alone_loads_nothing_heavy() -> None:
    program = "import sys, taskrun.adapters.grpc.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"grpc", "google.protobuf", "cryptography", "loguru", "asyncio", "taskrun.v1"} & set(loaded)


def test_a_call_that_succeeds_loads_neither_cryptography_nor_loguru() -> None:
    program = (
        "import sys; from taskrun.adapters.grpc.client import Client; from taskrun.adapters.grpc.tls import ClientTls;"
        "Client('localhost:1', ClientTls(b'', b'', b'')); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "grpc" in loaded
    assert not {"cryptography", "loguru", "starlette", "dependency_injector"} & set(loaded)
