"""The embedding: what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest
from loguru import logger

from taskrun.adapters.agents.function import FunctionAgent
from taskrun.domain.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from taskrun.domain.explanation import Ahead
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.history import said_in
from taskrun.domain.records import RunEvent, StoryEntry
from taskrun.domain.status import FailureKind, RunEventType, TaskStatus
from taskrun.engine.control_plane import ControlPlane
from taskrun.local import LocalControlPlane
from taskrun.ports.agent_events import SessionInitialized
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink


@pytest.fixture(autouse=True)
def log() -> Iterator[list[str]]:
    """What the library says; it is silent unless it is asked."""
    lines: list[str] = []
    logger.enable("taskrun")
    handler = logger.add(lines.append, format="{level} {message}")
    yield lines
    logger.remove(handler)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def plane() -> AsyncIterator[LocalControlPlane]:
    """A control plane that runs, with the agent `echo`."""
    plane = LocalControlPlane()
    plane.agent("echo")(echo)
    async with plane:
        yield plane


async def echo(request: AgentRequest, sink: AgentSink) -> str:
    return request.input_json


async def never(request: AgentRequest, sink: AgentSink) -> None:
    await asyncio.Event().wait()


async def test_a_conversation_goes_on_during_a_run_and_after_it() -> None:
    plane, told, heard = LocalControlPlane(), asyncio.Event(), list[tuple[str, str]]()

    @plane.agent("talker")
    async def talk(request: AgentRequest, sink: AgentSink) -> AgentResult:
        heard.append((request.input_json, request.session_id))
        await sink.event(SessionInitialized("s"))
        await sink.text(f"heard {request.input_json}. ")
        await told.wait()
        return AgentResult(session_id="s")

    async with plane:
        task = await plane.create("talker", "hello")
        async for entries in plane.watch(task.id):
            if RunEventType.SESSION_INITIALIZED in types_of(entries):
                break
        assert (await plane.continue_task(task.id, "and you?")).id == task.id
        told.set()
        assert await plane.output(task.id) == 'heard "hello". heard "and you?". '
        follow_up = await plane.continue_task(task.id, "bye", fork=True, idempotency_key="k")
        await plane.wait(follow_up.id)
        assert (await plane.continue_task(task.id, "bye", fork=True, idempotency_key="k")).id == follow_up.id
        story = [entry async for entries in plane.watch(task.id) for entry in entries]
    assert heard == [('"hello"', ""), ('"and you?"', "s"), ('"bye"', "s")]
    assert [each.content for each in said_in(task, story)] == [
        *("hello", "and you?"),
        *('heard "hello". ', 'heard "and you?". '),
    ]


async def test_a_run_is_told_from_its_beginning_to_its_end(plane: LocalControlPlane) -> None:
    task = await plane.create("echo", "hello")
    story = [entry async for entries in plane.watch(task.id) for entry in entries]
    assert types_of(story) == [RunEventType.EXECUTION_STARTED, RunEventType.EXECUTION_COMPLETED]


async def test_what_is_no_message_is_refused(plane: LocalControlPlane) -> None:
    task = await plane.create("echo", "hello")
    with pytest.raises(InvalidArgument, match="The message is empty"):
        await plane.continue_task(task.id, "")
    with pytest.raises(InvalidArgument, match="idempotency_key"):
        await plane.continue_task(task.id, "more", idempotency_key="\n")
    await plane.wait(task.id)
    with pytest.raises(FailedPrecondition, match="has no session to go on with"):
        await plane.continue_task(task.id, "more")


async def test_a_task_is_created_with_all_that_a_spec_has_and_found_by_it(plane: LocalControlPlane) -> None:
    task = await plane.create(
        "echo",
        {"a": [1, "é"]},
        labels={"team": "docs"},
        timeout_ms=60_000,
        priority=3,
        max_attempts=2,
        retry_on=[FailureKind.TIMEOUT],
        idempotency_key="once",
        silence_timeout_ms=5000,
        queue_timeout_ms=7000,
    )
    assert await plane.output(task.id) == '{"a": [1, "é"]}'
    spec = task.spec
    assert (spec.timeout_ms, spec.priority, spec.max_attempts) == (60_000, 3, 2)
    assert (spec.silence_timeout_ms, spec.queue_timeout_ms) == (5000, 7000)
    assert (*spec.retry_on, spec.idempotency_key) == (FailureKind.TIMEOUT, "once")
    page = await plane.find(status=TaskStatus.COMPLETED, agent="echo", labels={"team": "docs"}, limit=1)
    assert [found.id for found in page.tasks] == [task.id]
    assert (await plane.find(labels={"team": "others"})).tasks == ()


async def test_a_selector_is_a_mapping_and_chooses_the_worker(plane: LocalControlPlane) -> None:
    await plane.add_worker("gpu", [FunctionAgent("echo", echo)], labels={"gpu": "yes", "zone": "b"})
    task = await plane.create("echo", selector={"zone": "b", "gpu": "yes"})
    assert task.spec.selector == (("gpu", "yes"), ("zone", "b"))
    assert (await plane.wait(task.id)).runs[-1].worker_id == "gpu"


async def test_why_a_task_waits_is_explained(plane: LocalControlPlane) -> None:
    task = await plane.create("echo", selector={"gpu": "yes"})
    told = await plane.explain(task.id)
    assert told.summary == "no worker that offers the agent echo has the labels that it asks for"
    assert (told.ahead, told.workers) == (Ahead(0), (WorkerFit("local", ("lacks the label gpu=yes",), fits=False),))
    with pytest.raises(NotFound):
        await plane.explain("unknown")


def endless() -> list[object]:
    ring: list[object] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), {(1, 2): 3}, endless(), "\ud800"])
async def test_an_input_that_json_cannot_hold_is_refused(plane: LocalControlPlane, value: object) -> None:
    with pytest.raises(InvalidArgument):
        await plane.create("echo", value)


async def test_an_agent_is_refused_once_the_control_plane_was_entered(plane: LocalControlPlane) -> None:
    with pytest.raises(FailedPrecondition, match="add_worker"):
        plane.agent("late")(echo)


def test_an_agent_s_name_is_checked_where_it_is_given() -> None:
    with pytest.raises(InvalidArgument, match="'No Name' is no agent name"):
        LocalControlPlane().agent("No Name")


def test_an_agent_s_name_is_given_once() -> None:
    plane = LocalControlPlane()
    plane.agent("echo")(echo)
    with pytest.raises(AlreadyExists, match="an agent echo already"):
        plane.agent("echo")(never)


@pytest.mark.parametrize("max_concurrent_runs", [-1, 1_000_000])
async def test_a_worker_that_cannot_be_is_refused_before_anything_runs(max_concurrent_runs: int) -> None:
    plane = LocalControlPlane(max_concurrent_runs=max_concurrent_runs)
    plane.agent("echo")(echo)
    with pytest.raises(InvalidArgument, match="max_concurrent_runs"):
        await plane.__aenter__()


async def test_it_is_entered_once(plane: LocalControlPlane) -> None:
    with pytest.raises(FailedPrecondition, match="entered once"):
        await plane.__aenter__()


async def test_a_worker_s_id_is_taken_while_it_runs(plane: LocalControlPlane) -> None:
    await plane.add_worker("one", [FunctionAgent("never", never)])
    task = await plane.create("never")
    with pytest.raises(AlreadyExists, match="a worker one already"):
        await plane.add_worker("one", [])
    await plane.remove_worker("one")
    await plane.add_worker("one", [FunctionAgent("never", echo)])
    assert (await plane.wait(task.id)).status is TaskStatus.COMPLETED


@pytest.mark.parametrize(
    ("worker_id", "agents"),
    [("No Id", ["echo"]), ("two", ["echo", "echo"]), ("two", ["No Name"])],
)
async def test_a_bad_worker_is_refused(plane: LocalControlPlane, worker_id: str, agents: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        await plane.add_worker(worker_id, [FunctionAgent(name, echo) for name in agents])
    with pytest.raises(NotFound):
        await plane.remove_worker(worker_id)


async def test_an_unknown_worker_cannot_be_removed(plane: LocalControlPlane) -> None:
    with pytest.raises(NotFound, match="no worker x"):
        await plane.remove_worker("x")


@pytest.mark.parametrize("enter", [False, True])
async def test_a_worker_runs_inside_only(enter: bool) -> None:
    plane = LocalControlPlane()
    if enter:
        async with plane:
            pass
    with pytest.raises(FailedPrecondition, match="inside"):
        await plane.add_worker("one", [])


async def test_a_worker_that_ends_by_an_error_is_logged_and_makes_room(
    plane: LocalControlPlane, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    async def refuse(*_: object) -> int:
        raise PermissionDenied("Not you.")

    with monkeypatch.context() as patch:
        patch.setattr(ControlPlane, "connect", refuse)
        await plane.add_worker("one", [FunctionAgent("new", echo)])
        await until(lambda: any(line.startswith("ERROR worker one ended by an error: Not you.") for line in log))
    await plane.add_worker("one", [FunctionAgent("new", echo)])
    assert await plane.output((await plane.create("new", 1)).id) == "1"


def types_of(story: Sequence[StoryEntry]) -> list[RunEventType]:
    """Of the events in it."""
    return [entry.body.type for entry in story if isinstance(entry.body, RunEvent)]


async def until(check: Callable[[], bool]) -> None:
    """Lets the others work until this holds."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110  # no event tells of a log line
            await asyncio.sleep(0)
