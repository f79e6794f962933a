"""The services for clients, through the asynchronous client and over real TLS."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest

from taskrun.adapters.grpc import task_service
from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.channel import open_channel
from taskrun.adapters.grpc.codec_tasks import encode_task
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, NotFound, TaskRunError
from taskrun.domain.explanation import Ahead
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.records import (
    AgentSpec,
    OutputSegment,
    StoryEntry,
    Task,
    TaskChange,
    TaskQuery,
    TaskSpec,
    WorkerInfo,
)
from taskrun.domain.status import TaskStatus, WorkerStatus
from taskrun.v1 import task_service_pb2 as pb
from taskrun.v1 import worker_service_pb2 as pb_workers
from tests.adapters.grpc.conftest import Plane

SPEC = TaskSpec("general", '"hi"', {"team": "a"}, timeout_ms=5, priority=1, selector=(("gpu", "yes"),))


def end(seq: int) -> StoryEntry:
    return StoryEntry(seq, 9, TaskChange(TaskStatus.COMPLETED))


async def test_a_task_is_created_in_the_name_of_the_certificate_not_of_the_request(plane: Plane) -> None:
    request = pb.CreateTaskRequest(agent_name="general", input_json="1", created_by="root")
    async with open_channel(parse_address(plane.address), plane.ca.client("client:alice")) as channel:
        create = channel.unary_unary(
            "/taskrun.v1.TaskService/CreateTask", pb.CreateTaskRequest.SerializeToString, pb.Task.FromString
        )
        task = await create(request, timeout=30)
    assert task.created_by == "alice"
    assert plane.tasks.created == [(TaskSpec("general", "1"), "alice")]


async def test_a_task_is_created_read_and_cancelled(plane: Plane) -> None:
    async with plane.client() as client:
        task = await client.create_alone(SPEC)
        assert task == Task("t-0", SPEC, TaskStatus.PENDING, "admin", 1)
        assert await client.get("t-0") == task
        assert await client.cancel("t-0") == task


async def test_a_message_goes_to_the_agent_of_a_task_in_the_name_of_the_certificate(plane: Plane) -> None:
    async with plane.client() as client:
        task = await client.create(SPEC)
        assert await client.continue_task("t-0", "more") == task
        assert await client.continue_task("t-0", "é\n", fork=True, idempotency_key="k") == task
    assert plane.tasks.messages == [("t-0", "more", "admin", False, ""), ("t-0", "é\n", "admin", True, "k")]


@pytest.mark.parametrize(
    ("message", "key", "why"),
    [
        (" \n", "", "The message is empty"),
        ("x" * 64 * 1024, "", "message is too long: at most 65536 bytes"),
        ("more", "two\nlines", "idempotency_key holds the character U\\+000A"),
    ],
)
async def test_what_is_no_message_is_refused(plane: Plane, message: str, key: str, why: str) -> None:
    async with plane.client() as client:
        with pytest.raises(InvalidArgument, match=why):
            await client.continue_task("t-0", message, idempotency_key=key)
    assert plane.tasks.messages == []


async def test_why_a_task_waits_is_explained(plane: Plane) -> None:
    async with plane.client() as client:
        await client.create(SPEC)
        told = await client.explain("t-0")
    assert told == await plane.tasks.explain("t-0")
    assert (told.ahead, told.workers) == (Ahead(2), (WorkerFit("w-1", ("is DRAINING",)),))


async def test_of_workers_that_lack_more_than_a_message_holds_the_nearest_are_told(plane: Plane) -> None:
    plane.tasks.fits = tuple(WorkerFit(f"w-{n}", ("x" * 300_000,) * 3) for n in range(9))
    async with plane.client() as client:
        await client.create(SPEC)
        told = await client.explain("t-0")
    assert told.workers == plane.tasks.fits[:4]


@pytest.mark.parametrize("method", ["get", "explain", "cancel", "worker"])
async def test_an_unknown_id_is_not_found(plane: Plane, method: str) -> None:
    async with plane.client() as client:
        with pytest.raises(NotFound, match=r"^There is no (task|worker) \?\.$"):
            await getattr(client, method)("?")


async def test_what_the_core_refuses_is_refused_in_its_words(plane: Plane) -> None:
    async with plane.client() as client:
        for create in (client.create, client.create_alone):
            with pytest.raises(FailedPrecondition, match=r"^Nobody\.$"):
                await create(TaskSpec("nobody", "1"))


async def test_an_exception_is_an_internal_error_that_tells_nothing(plane: Plane) -> None:
    async with plane.client() as client:
        with pytest.raises(TaskRunError, match=r"^internal error$"):
            await client.create_alone(TaskSpec("bug", "1"))


async def test_many_tasks_are_answered_one_by_one(plane: Plane) -> None:
    requests = [
        pb.CreateTaskRequest(agent_name="general", input_json="1"),
        pb.CreateTaskRequest(agent_name="general", input_json="{"),
        pb.CreateTaskRequest(agent_name="nobody", input_json="1"),
        pb.CreateTaskRequest(agent_name="general", input_json="2"),
    ]
    async with open_channel(parse_address(plane.address), plane.ca.client()) as channel:
        create = channel.unary_unary(
            "/taskrun.v1.TaskService/CreateTasks",
            pb.CreateTasksRequest.SerializeToString,
            pb.CreateTasksResponse.FromString,
        )
        answer = await create(pb.CreateTasksRequest(tasks=requests), timeout=30)
    assert [result.task.id for result in answer.results] == ["t-0", "", "", "t-1"]
    assert [result.error.code for result in answer.results] == [0, 3, 9, 0]
    assert plane.tasks.calls == [3]


@pytest.mark.parametrize(
    ("count", "text", "why"), [(1001, "1", "at most 1000"), (4, '"' + "x" * 900_000 + '"', "At most 3145728 bytes")]
)
async def test_too_many_tasks_at_once_are_refused(plane: Plane, count: int, text: str, why: str) -> None:
    request = pb.CreateTasksRequest(tasks=[pb.CreateTaskRequest(agent_name="general", input_json=text)] * count)
    async with plane.client() as client:
        with pytest.raises(InvalidArgument, match=why):
            await client._create_many([task.SerializeToString() for task in request.tasks])
    assert not plane.tasks.created


async def test_tasks_are_listed_by_what_was_asked(plane: Plane) -> None:
    query = TaskQuery(TaskStatus.FAILED, "general", {"a": "b"}, 5, "0")
    async with plane.client() as client:
        assert (await client.find(query)).tasks == ()
    assert plane.tasks.queries == [query]


async def test_a_page_that_could_not_be_sent_has_fewer_tasks_and_the_next_begins_where_it_ends(plane: Plane) -> None:
    async with plane.client() as client:
        for _ in range(9):
            await client.create(TaskSpec("general", '"' + "x" * 1_000_000 + '"'))
        seen: list[str] = []
        token = ""
        while True:
            page = await client.find(TaskQuery(limit=100, page_token=token))
            assert len(page.tasks) <= 4
            seen += [task.id for task in page.tasks]
            token = page.next_page_token
            if not token:
                break
    assert seen == [f"t-{n}" for n in reversed(range(9))]


async def test_no_more_tasks_are_encoded_than_a_page_holds(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Task] = []

    def encode(task: Task) -> pb.Task:
        encoded.append(task)
        return encode_task(task)

    monkeypatch.setattr(task_service, "encode_task", encode)
    task = Task("t", TaskSpec("general", '"' + "x" * 1_000_000 + '"'), TaskStatus.PENDING, "admin", 1)
    plane.tasks.tasks = {str(n): task for n in range(1000)}
    async with plane.client() as client:
        page = await client.find(TaskQuery(limit=1000))
    assert (len(page.tasks), len(encoded)) == (4, 5 + 4)


async def test_workers_are_listed_and_read(plane: Plane) -> None:
    async with plane.client() as client:
        assert await client.workers("general", WorkerStatus.BUSY) == [plane.workers.view]
        assert await client.worker("w-1") == plane.workers.view
    assert plane.workers.filters == [("general", WorkerStatus.BUSY)]


def also(plane: Plane, count: int, status: WorkerStatus = WorkerStatus.IDLE, text: str = "") -> None:
    agent = AgentSpec("general", text)
    plane.workers.others = [
        replace(plane.workers.view, id=f"w-2{n:03}", status=status, info=WorkerInfo(agents=(agent,)))
        for n in range(count)
    ]


async def listed(plane: Plane, **fields: Any) -> pb_workers.ListWorkersResponse:
    """One answer as it is on the wire."""
    async with open_channel(parse_address(plane.address), plane.ca.client()) as channel:
        ask = channel.unary_unary(
            "/taskrun.v1.WorkerService/ListWorkers",
            pb_workers.ListWorkersRequest.SerializeToString,
            pb_workers.ListWorkersResponse.FromString,
        )
        answer: pb_workers.ListWorkersResponse = await ask(pb_workers.ListWorkersRequest(**fields), timeout=30)
    return answer


async def test_more_workers_than_one_answer_holds_come_in_pages(plane: Plane) -> None:
    also(plane, 200, text="x" * 60_000)
    first = await listed(plane)
    assert 60 < len(first.workers) < 80
    assert first.next_page_token == first.workers[-1].worker_id
    async with plane.client() as client:
        assert await client.workers() == [plane.workers.view, *plane.workers.others]


async def test_a_page_of_workers_has_no_more_than_asked_for(plane: Plane) -> None:
    also(plane, 3)
    pages = [await listed(plane, limit=2)]
    while pages[-1].next_page_token:
        pages.append(await listed(plane, limit=2, page_token=pages[-1].next_page_token))
    assert [[worker.worker_id for worker in page.workers] for page in pages] == [
        ["w-1", "w-2000"],
        ["w-2001", "w-2002"],
    ]


@pytest.mark.parametrize("away", [WorkerStatus.DISCONNECTED, WorkerStatus.LOST])
async def test_a_worker_that_is_away_is_shown_only_to_who_knows_that_status(plane: Plane, away: WorkerStatus) -> None:
    also(plane, 1, away)
    assert [worker.worker_id for worker in (await listed(plane)).workers] == ["w-1"]
    async with open_channel(parse_address(plane.address), plane.ca.client()) as channel:
        get: Any = channel.unary_unary(
            "/taskrun.v1.WorkerService/GetWorker", pb_workers.GetWorkerRequest.SerializeToString
        )
        with pytest.raises(grpc.aio.AioRpcError, match="The worker w-2000 is not connected"):
            await get(pb_workers.GetWorkerRequest(worker_id="w-2000"), timeout=30)


async def test_our_clients_see_the_workers_that_are_away(plane: Plane) -> None:
    also(plane, 1, WorkerStatus.DISCONNECTED)
    async with plane.client() as client:
        assert await client.workers() == [plane.workers.view, *plane.workers.others]
        assert await client.workers(status=WorkerStatus.DISCONNECTED) == plane.workers.others
        assert (await client.worker("w-2000")).status is WorkerStatus.DISCONNECTED


async def test_a_token_is_made(plane: Plane) -> None:
    async with plane.client() as client:
        token = await client.create_token("w-5", 60_000)
        assert (token.token, token.worker_id, token.expires_at_ms) == ("token", "w-5", 60_000)
        with pytest.raises(InvalidArgument):
            await client.create_token(ttl_ms=-1)


# Watching.


async def watched(plane: Plane, from_seq: int = 0) -> list[list[StoryEntry]]:
    async with plane.client() as client:
        await client.create(SPEC)
        return [list(entries) async for entries in client.watch("t-0", from_seq)]


async def test_what_gathered_comes_in_one_message(plane: Plane) -> None:
    story = [StoryEntry(seq, 5, OutputSegment("r", seq, ("x",))) for seq in range(500)]
    plane.tasks.story = [story, [end(500)]]
    assert await watched(plane) == [story, [end(500)]]


async def test_a_story_can_be_read_from_any_number_on(plane: Plane) -> None:
    plane.tasks.story = [[StoryEntry(0, 5, TaskChange(TaskStatus.PENDING)), end(1)]]
    assert await watched(plane, from_seq=1) == [[end(1)]]


async def test_long_output_comes_in_messages_that_can_be_sent(plane: Plane) -> None:
    chunks = tuple(f"{n:05}" + "x" * 60_000 for n in range(100))
    plane.tasks.story = [[StoryEntry(7, 5, OutputSegment("r", 3, chunks)), end(107)]]
    messages = await watched(plane)
    entries = [entry for message in messages for entry in message]
    segments = [(entry.seq, entry.body) for entry in entries if isinstance(entry.body, OutputSegment)]
    assert len(messages) > 20
    assert tuple(text for _, body in segments for text in body.contents) == chunks
    assert all(seq - body.first_seq == 4 for seq, body in segments)
    assert entries[-1] == end(107)


async def test_a_new_task_and_the_beginning_of_its_story_come_in_one_message(plane: Plane) -> None:
    plane.tasks.story = [[StoryEntry(0, 5, TaskChange(TaskStatus.PENDING))], [end(1)]]
    request = pb.CreateTaskRequest(agent_name="general", input_json="1")
    async with open_channel(parse_address(plane.address), plane.ca.client()) as channel:
        create = channel.unary_stream(
            "/taskrun.v1.TaskService/CreateAndWatchTask",
            pb.CreateTaskRequest.SerializeToString,
            pb.WatchTaskResponse.FromString,
        )
        first, last = [message async for message in create(request, timeout=30)]
    assert (first.task.id, [update.seq for update in first.updates]) == ("t-0", [0])
    assert (last.HasField("task"), [update.seq for update in last.updates]) == (False, [1])


async def test_who_creates_and_watches_gets_the_task_and_then_its_story(plane: Plane) -> None:
    plane.tasks.story = [[StoryEntry(0, 5, TaskChange(TaskStatus.PENDING))], [end(1)]]
    async with plane.client() as client:
        steps = [step async for step in client.create_and_watch(SPEC)]
    assert steps == [plane.tasks.tasks["t-0"], *map(tuple, plane.tasks.story)]


async def test_who_leaves_in_the_middle_of_create_and_watch_is_forgotten(plane: Plane) -> None:
    plane.tasks.story = [[StoryEntry(0, 5, TaskChange(TaskStatus.PENDING))]]
    plane.tasks.goes_on = True
    async with plane.client() as client:
        steps = client.create_and_watch(SPEC)
        await anext(steps)
        assert plane.tasks.watchers == 1
        await steps.aclose()
        await plane.tasks.until(lambda: plane.tasks.watchers == 0)


async def test_an_unknown_task_is_not_found_before_anything_is_sent(plane: Plane) -> None:
    async with plane.client() as client:
        with pytest.raises(NotFound):
            await anext(client.watch("?"))


async def test_a_watcher_that_leaves_is_forgotten(plane: Plane) -> None:
    plane.tasks.story = [[StoryEntry(0, 5, TaskChange(TaskStatus.PENDING))]]
    plane.tasks.goes_on = True
    async with plane.client() as client:
        await client.create(SPEC)
        watching = client.watch("t-0")
        await anext(watching)
        assert plane.tasks.watchers == 1
        await watching.aclose()
        await plane.tasks.until(lambda: plane.tasks.watchers == 0)
        await client.get("t-0")


# Creating many, as the client does it.


async def test_creates_that_come_while_one_is_under_way_go_out_together(plane: Plane) -> None:
    plane.tasks.gate.clear()
    async with plane.client() as client:
        first = asyncio.create_task(client.create(SPEC))
        await plane.tasks.until(lambda: plane.tasks.calls == [1])
        rest = [asyncio.create_task(client.create(TaskSpec("general", str(n)))) for n in range(50)]
        bad = asyncio.create_task(client.create(TaskSpec("Not A Name", "1")))
        await asyncio.sleep(0)
        plane.tasks.gate.set()
        assert (await first).id == "t-0"
        assert [(await task).spec.input_json for task in rest] == [str(n) for n in range(50)]
        with pytest.raises(InvalidArgument):
            await bad
    assert plane.tasks.calls == [1, 50]


async def test_creates_under_way_end_with_the_client(plane: Plane) -> None:
    plane.tasks.gate.clear()
    client = plane.client()
    creates = [asyncio.create_task(client.create(SPEC))]
    await plane.tasks.until(lambda: plane.tasks.calls == [1])
    creates.append(asyncio.create_task(client.create(SPEC)))
    await asyncio.sleep(0)
    await client.close()
    await client.close()
    for create in creates:
        with pytest.raises(TaskRunError, match="The client was closed"):
            await create
    with pytest.raises(TaskRunError, match="The client is closed"):
        await client.create(SPEC)
    plane.tasks.gate.set()


async def test_a_task_that_cannot_be_sent_is_refused_without_a_call(plane: Plane) -> None:
    async with plane.client() as client:
        for text in ('"\ud800"', "x" * 5 * 1024 * 1024):
            with pytest.raises(InvalidArgument):
                await client.create(TaskSpec("general", text))
    assert plane.tasks.calls == []
