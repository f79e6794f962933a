"""The services for clients, through the asynchronous client and over real TLS."""

from __future__ import annotations

import asyncio

import pytest

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.channel import open_channel
from taskrun.domain.errors import FailedPrecondition, InvalidArgument, NotFound, TaskRunError
from taskrun.domain.records import OutputSegment, StoryEntry, Task, TaskChange, TaskQuery, TaskSpec
from taskrun.domain.status import TaskStatus, WorkerStatus
from taskrun.v1 import task_service_pb2 as pb
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


@pytest.mark.parametrize("method", ["get", "cancel", "worker"])
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


async def test_workers_are_listed_and_read(plane: Plane) -> None:
    async with plane.client() as client:
        assert await client.workers("general", WorkerStatus.BUSY) == (plane.workers.view,)
        assert await client.worker("w-1") == plane.workers.view
    assert plane.workers.filters == [("general", WorkerStatus.BUSY)]


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
