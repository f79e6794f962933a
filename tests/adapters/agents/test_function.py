from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest
from loguru import logger

from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.execution import executed
from taskrun.adapters.agents.function import FunctionAgent, result_of
from taskrun.domain.records import AgentSpec, ModelBackend
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import ExecutionCompleted, ExecutionFailed, ExecutionStarted, Thought
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink
from taskrun.testing.clock import jump
from taskrun.testing.recording_sink import RecordingSink

REQUEST = AgentRequest("r", "t", '"hello"')
#: Seconds; nobody waits for them.
GRACE = 3600.0


def test_it_announces_what_it_was_given() -> None:
    async def nothing(request: AgentRequest, sink: AgentSink) -> None: ...

    backend = ModelBackend("p", "m")
    agent = FunctionAgent("echo", nothing, "says it again", {"k": "v"}, [backend])
    assert agent.spec == AgentSpec("echo", "says it again", {"k": "v"}, (backend,))


async def test_a_function_that_returns_nothing_succeeds() -> None:
    async def nothing(request: AgentRequest, sink: AgentSink) -> None: ...

    assert await FunctionAgent("a", nothing).run(REQUEST, RecordingSink()) == AgentResult()


async def test_a_returned_text_is_put_out_after_the_rest() -> None:
    async def echo(request: AgentRequest, sink: AgentSink) -> str:
        await sink.text("first")
        return request.input_json

    sink = RecordingSink()
    assert await FunctionAgent("a", echo).run(REQUEST, sink) == AgentResult()
    assert sink.texts == ["first", '"hello"']


async def test_a_returned_result_says_it_all() -> None:
    result = AgentResult(FailureKind.REFUSED, "no")

    async def refuse(request: AgentRequest, sink: AgentSink) -> AgentResult:
        return result

    assert await FunctionAgent("a", refuse).run(REQUEST, RecordingSink()) is result


@pytest.mark.parametrize(("error", "message"), [(ValueError("no such city"), "no such city"), (KeyError(), "KeyError")])
async def test_an_exception_is_the_agents_own_failure(error: Exception, message: str) -> None:
    async def fail(request: AgentRequest, sink: AgentSink) -> None:
        raise error

    result = await FunctionAgent("a", fail).run(REQUEST, RecordingSink())
    assert result == AgentResult(FailureKind.AGENT_ERROR, message)


@pytest.mark.parametrize("code", [3, "No more."])
async def test_an_exit_ends_the_run_and_not_the_worker(code: object) -> None:
    async def leave(request: AgentRequest, sink: AgentSink) -> None:
        sys.exit(code)  # type: ignore[arg-type]

    result = await FunctionAgent("a", leave).run(REQUEST, RecordingSink())
    assert result == AgentResult(FailureKind.AGENT_ERROR, f"The function wanted to end its process: exit {code}.")


async def test_a_value_that_is_no_text_is_bad_output() -> None:
    async def count(request: AgentRequest, sink: AgentSink) -> int:
        return 42

    result = await FunctionAgent("a", count).run(REQUEST, RecordingSink())  # type: ignore[arg-type]
    assert result == AgentResult(FailureKind.BAD_OUTPUT, "The function returned int, not text.")


async def test_a_run_is_told_from_its_beginning_to_its_end() -> None:
    async def think(request: AgentRequest, sink: AgentSink) -> None:
        await sink.event(Thought("hm"))

    sink = RecordingSink()
    await FunctionAgent("a", think).run(REQUEST, sink)
    assert sink.events == [ExecutionStarted("python"), Thought("hm"), ExecutionCompleted()]


async def test_a_failure_is_told_with_its_kind() -> None:
    async def fail(request: AgentRequest, sink: AgentSink) -> None:
        raise ValueError

    sink = RecordingSink()
    await FunctionAgent("a", fail).run(REQUEST, sink)
    assert sink.events == [ExecutionStarted("python"), ExecutionFailed(FailureKind.AGENT_ERROR)]


class Stubborn:
    """A function that goes on when it is cancelled, until it is let."""

    def __init__(self) -> None:
        self.begun, self.cancelled, self.let, self.ended = (asyncio.Event() for _ in range(4))

    async def __call__(self, request: AgentRequest, sink: AgentSink) -> None:
        self.begun.set()
        while not self.let.is_set():
            try:
                await self.let.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
        self.ended.set()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged."""
    lines: list[str] = []
    handler = logger.add(lines.append, format="{level} {message}")
    yield lines
    logger.remove(handler)


async def test_a_function_that_goes_on_when_it_is_cancelled_is_given_up_after_the_grace(lines: list[str]) -> None:
    function = Stubborn()
    run = asyncio.create_task(result_of(function, REQUEST, RecordingSink(), GRACE))
    await function.begun.wait()
    run.cancel()
    await function.cancelled.wait()
    jump(GRACE)
    await asyncio.wait([run])
    assert (run.cancelled(), function.ended.is_set()) == (True, False)
    assert [
        line for line in lines if line.startswith("ERROR") and "goes on although it was cancelled 3600 s ago" in line
    ]
    function.let.set()
    await function.ended.wait()


async def test_a_time_limit_is_kept_with_a_function_that_keeps_none() -> None:
    function = Stubborn()
    definition = AgentDefinition(name="a", kind="python", timeout=60.0)
    run = asyncio.create_task(
        executed(definition, "", RecordingSink(), lambda sink: result_of(function, REQUEST, sink, GRACE))
    )
    await function.begun.wait()
    jump(60)
    await function.cancelled.wait()
    jump(GRACE)
    assert (await run).failure is FailureKind.TIMEOUT
    function.let.set()
    await function.ended.wait()


async def test_a_function_that_comes_to_something_when_it_is_cancelled_has_come_to_that() -> None:
    begun = asyncio.Event()

    async def tells(request: AgentRequest, sink: AgentSink) -> AgentResult:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        return AgentResult(FailureKind.AGENT_ERROR, "so far")

    run = asyncio.create_task(FunctionAgent("a", tells).run(REQUEST, RecordingSink()))
    await begun.wait()
    run.cancel()
    assert (await run).error == "so far"
