from __future__ import annotations

import sys

import pytest

from taskrun.adapters.agents.function import FunctionAgent
from taskrun.domain.records import AgentSpec, ModelBackend
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import ExecutionCompleted, ExecutionFailed, ExecutionStarted, Thought
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink
from taskrun.testing.recording_sink import RecordingSink

REQUEST = AgentRequest("r", "t", '"hello"')


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
