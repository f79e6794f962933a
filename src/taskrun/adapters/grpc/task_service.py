"""Serves `taskrun.v1.TaskService`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from taskrun.adapters.grpc.access import Context, Handler, begin, caller
from taskrun.adapters.grpc.codec_explanation import encode_explanation
from taskrun.adapters.grpc.codec_story import encode_entry
from taskrun.adapters.grpc.codec_tasks import decode_query, decode_spec, encode_task
from taskrun.adapters.grpc.errors import details_of, status_of
from taskrun.adapters.grpc.frames import entry_pieces, grouped, repeated
from taskrun.adapters.grpc.handlers import server_stream, unary
from taskrun.adapters.grpc.options import MAX_MESSAGE_BYTES
from taskrun.adapters.grpc.pages import fitting
from taskrun.domain.errors import InvalidArgument, TaskRunError
from taskrun.domain.limits import MAX_CREATE, check_key, check_message
from taskrun.domain.records import StoryEntry, Task, TaskSpec
from taskrun.ports.control_plane import TaskApi
from taskrun.v1 import task_service_pb2 as pb

#: Bytes of one message of a story: enough to make the cost of a message small, little enough to be taken in at once.
MAX_WATCH_BYTES = 256 * 1024
#: Bytes of one `CreateTasks`, so that its answer, which repeats the inputs, can be sent.
MAX_CREATE_BYTES = MAX_MESSAGE_BYTES * 3 // 4


class TaskService:
    """The methods that clients call about tasks."""

    def __init__(self, tasks: TaskApi) -> None:
        self._tasks = tasks

    def handlers(self) -> dict[str, Handler]:
        """The service's methods by name."""
        return {
            "CreateTask": unary(pb.CreateTaskRequest, self._create),
            "CreateTasks": unary(pb.CreateTasksRequest, self._create_many),
            "GetTask": unary(pb.GetTaskRequest, self._get),
            "ListTasks": unary(pb.ListTasksRequest, self._list),
            "CancelTask": unary(pb.CancelTaskRequest, self._cancel),
            "ContinueTask": unary(pb.ContinueTaskRequest, self._continue),
            "ExplainTask": unary(pb.ExplainTaskRequest, self._explain),
            "WatchTask": server_stream(pb.WatchTaskRequest, self._watch),
            "CreateAndWatchTask": server_stream(pb.CreateTaskRequest, self._create_and_watch),
        }

    async def _create(self, request: pb.CreateTaskRequest, context: Context) -> pb.Task:
        return encode_task(await self._created(request))

    async def _created(self, request: pb.CreateTaskRequest) -> Task:
        (answer,) = await self._tasks.create([decode_spec(request)], caller().name)
        if isinstance(answer, TaskRunError):
            raise answer
        return answer

    async def _create_many(self, request: pb.CreateTasksRequest, context: Context) -> pb.CreateTasksResponse:
        if len(request.tasks) > MAX_CREATE:
            raise InvalidArgument(f"There are {len(request.tasks)} tasks: at most {MAX_CREATE} can be created at once.")
        if request.ByteSize() > MAX_CREATE_BYTES:
            raise InvalidArgument(f"At most {MAX_CREATE_BYTES} bytes of tasks can be created at once.")
        specs = [_spec_or_error(task) for task in request.tasks]
        good = [spec for spec in specs if isinstance(spec, TaskSpec)]
        answers = iter(await self._tasks.create(good, caller().name))
        results = [_result(next(answers) if isinstance(spec, TaskSpec) else spec) for spec in specs]
        return pb.CreateTasksResponse(results=results)

    async def _get(self, request: pb.GetTaskRequest, context: Context) -> pb.Task:
        return encode_task(await self._tasks.get(request.id))

    async def _cancel(self, request: pb.CancelTaskRequest, context: Context) -> pb.Task:
        return encode_task(await self._tasks.cancel(request.id))

    async def _continue(self, request: pb.ContinueTaskRequest, context: Context) -> pb.Task:
        check_message(request.message)
        check_key(request.idempotency_key)
        task = await self._tasks.continue_task(
            request.id, request.message, caller().name, fork=request.fork, key=request.idempotency_key
        )
        return encode_task(task)

    async def _explain(self, request: pb.ExplainTaskRequest, context: Context) -> pb.TaskExplanation:
        return encode_explanation(await self._tasks.explain(request.id))

    async def _list(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        query = decode_query(request)
        while True:
            page = await self._tasks.find(query)
            tasks = fitting(map(encode_task, page.tasks))
            if len(tasks) == len(page.tasks):
                return pb.ListTasksResponse(tasks=tasks, next_page_token=page.next_page_token)
            # Only the store knows the token of a page that ends earlier.
            query = replace(query, limit=len(tasks))

    async def _create_and_watch(self, request: pb.CreateTaskRequest, context: Context) -> None:
        task = await self._created(request)
        first = pb.WatchTaskResponse(task=encode_task(task)).SerializeToString()
        await self._tell(task.id, 0, context, first)

    async def _watch(self, request: pb.WatchTaskRequest, context: Context) -> None:
        await self._tell(request.id, request.from_seq, context)

    async def _tell(self, task_id: str, from_seq: int, context: Context, first: bytes = b"") -> None:
        """Writes the story; `first` goes out with its beginning, since it is messages that cost, not their bytes.

        Bytes of one protobuf message that follow those of another add their fields to it.
        """
        await begin(context)
        async with _closing(self._tasks.watch(task_id, from_seq)) as story:
            async for entries in story:
                for frame in _frames(entries):
                    await context.write(first + frame)
                    first = b""


def _spec_or_error(request: pb.CreateTaskRequest) -> TaskSpec | InvalidArgument:
    try:
        return decode_spec(request)
    except InvalidArgument as error:
        return error


def _result(answer: Task | TaskRunError) -> pb.CreateTaskResult:
    if isinstance(answer, TaskRunError):
        code: int = status_of(answer).value[0]
        return pb.CreateTaskResult(error=pb.CreateTaskError(code=code, message=details_of(answer)))
    return pb.CreateTaskResult(task=encode_task(answer))


def _frames(entries: Sequence[StoryEntry]) -> Iterator[bytes]:
    """The entries in as few messages as can be sent."""
    parts = (
        encode_entry(piece).SerializeToString() for entry in entries for piece in entry_pieces(entry, MAX_WATCH_BYTES)
    )
    return map(repeated, grouped(parts, MAX_WATCH_BYTES))


@asynccontextmanager
async def _closing(story: AsyncIterator[Sequence[StoryEntry]]) -> AsyncIterator[AsyncIterator[Sequence[StoryEntry]]]:
    """Ends the story with the call, also when the caller leaves in the middle."""
    try:
        yield story
    finally:
        if isinstance(story, AsyncGenerator):
            await story.aclose()
