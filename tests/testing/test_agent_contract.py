"""The agents' contract finds what it is there for: one bug each is planted around an agent that keeps it."""

from __future__ import annotations

import asyncio
import inspect
import os
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskrun.domain.records import AgentSpec
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    AgentEvent,
    ExecutionStarted,
    OutputGenerated,
    PermissionAsked,
    PlanMade,
    Retried,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)
from taskrun.ports.agents import Agent, AgentRequest, AgentResult, AgentSink
from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import SECRET, Act
from taskrun.testing.contracts.agent_stage import AgentStage, Rehearsal
from taskrun.testing.processes import kill_all_of
from taskrun.testing.recording_sink import RecordingSink
from tests.contracts.agents.test_acp import AcpStage
from tests.contracts.agents.test_jsonl import JsonLinesStage

Run = Callable[[Agent, AgentRequest, AgentSink], Awaitable[AgentResult]]


class Saboteur:
    """Implements `Agent` over another, which it runs in its own way."""

    def __init__(self, agent: Agent, run: Run) -> None:
        self._agent = agent
        self._run = run

    @property
    def spec(self) -> AgentSpec:
        return self._agent.spec

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        return await self._run(self._agent, request, sink)


class Sabotage(Rehearsal):
    """A rehearsal in which every agent is a saboteur."""

    def __init__(self, stage: AgentStage, node: pytest.Item, run: Run) -> None:
        super().__init__(stage, node)
        self._run = run

    def agent(self, act: Act, **keys: Any) -> Agent:
        return Saboteur(super().agent(act, **keys), self._run)


class PassingSink:
    """Implements `AgentSink` over another."""

    def __init__(self, sink: AgentSink) -> None:
        self._sink = sink

    async def text(self, text: str) -> None:
        await self._sink.text(text)

    async def event(self, event: AgentEvent) -> None:
        await self._sink.event(event)


# The bugs.


class Stammering(PassingSink):
    async def text(self, text: str) -> None:
        await self._sink.text(text)
        await self._sink.text(text)


class Hasty(PassingSink):
    """Tells a tool's end before its beginning."""

    async def event(self, event: AgentEvent) -> None:
        if isinstance(event, ToolRequested):
            self._asked = event
            return
        await self._sink.event(event)
        if isinstance(event, ToolCompleted):
            await self._sink.event(self._asked)


class Lenient(PassingSink):
    """What was denied has been done."""

    async def event(self, event: AgentEvent) -> None:
        await self._sink.event(replace(event, outcome="ok") if isinstance(event, ToolCompleted) else event)


class ByMessage(PassingSink):
    """Passes on what was said when something else happens."""

    def __init__(self, sink: AgentSink) -> None:
        super().__init__(sink)
        self._message = ""

    async def text(self, text: str) -> None:
        self._message += text

    async def event(self, event: AgentEvent) -> None:
        message, self._message = self._message, ""
        await self._sink.text(message)
        await self._sink.event(event)


class Hoarding(PassingSink):
    """Never lets the agent wait, and passes on whenever it can."""

    def __init__(self, sink: AgentSink) -> None:
        super().__init__(sink)
        self._hoard: asyncio.Queue[str] = asyncio.Queue()
        self.passing = asyncio.create_task(self._pass())

    async def text(self, text: str) -> None:
        self._hoard.put_nowait(text)

    async def _pass(self) -> None:
        while True:
            await self._sink.text(await self._hoard.get())
            self._hoard.task_done()

    async def all_passed(self) -> None:
        await self._hoard.join()
        self.passing.cancel()


class Secretive(PassingSink):
    """Never tells events of one type."""

    def __init__(self, sink: AgentSink, untold: type[AgentEvent]) -> None:
        super().__init__(sink)
        self._untold = untold

    async def event(self, event: AgentEvent) -> None:
        if not isinstance(event, self._untold):
            await self._sink.event(event)


def through(make: Callable[[AgentSink], AgentSink]) -> Run:
    return lambda agent, request, sink: agent.run(request, make(sink))


def without(untold: type[AgentEvent]) -> Run:
    return through(lambda sink: Secretive(sink, untold))


def with_result(**changes: Any) -> Run:
    async def run(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
        return replace(await agent.run(request, sink), **changes)

    return run


def with_request(**changes: Any) -> Run:
    return lambda agent, request, sink: agent.run(replace(request, **changes), sink)


async def hoard(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
    hoarding = Hoarding(sink)
    result = await agent.run(request, hoarding)
    await hoarding.all_passed()
    return result


async def say_all_at_the_end(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
    kept = RecordingSink()
    result = await agent.run(request, kept)
    await sink.text(kept.output)
    return result


async def tell_events_at_the_end(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
    kept = RecordingSink()
    result = await agent.run(request, kept)
    await sink.text(kept.output)
    for event in kept.events:
        await sink.event(event)
    return result


async def call_a_cancel_a_success(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
    try:
        return replace(await agent.run(request, sink), failure=None, error="")
    except asyncio.CancelledError:
        return AgentResult()


async def leave_somebody(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
    try:
        return await agent.run(request, sink)
    finally:
        os.posix_spawn("/bin/sleep", ["sleep", "1000"], {"TASKRUN_RUN_ID": request.run_id})  # noqa: ASYNC221


async def tell_a_secret(agent: Agent, request: AgentRequest, sink: AgentSink) -> AgentResult:
    await sink.text(f"PGPASSWORD={SECRET}\n")
    return await agent.run(request, sink)


BUGS: dict[str, tuple[Run, Callable[..., Awaitable[None]]]] = {
    "text comes twice": (through(Stammering), AgentContract.test_text_is_complete_and_in_order),
    "text comes when all is over": (say_all_at_the_end, AgentContract.test_text_comes_while_the_agent_works),
    "a message comes when it is whole": (
        through(ByMessage),
        AgentContract.test_text_comes_before_its_message_is_whole,
    ),
    "the beginning is not told": (
        without(ExecutionStarted),
        AgentContract.test_a_success_is_told_from_its_beginning_to_its_end,
    ),
    "a tool ends before it begins": (through(Hasty), AgentContract.test_a_tools_end_follows_its_beginning),
    "events come when all has been said": (
        tell_events_at_the_end,
        AgentContract.test_what_is_said_of_a_tools_answer_follows_its_end,
    ),
    "a cancelled run passes for a success": (
        call_a_cancel_a_success,
        AgentContract.test_a_cancel_ends_it_within_the_grace,
    ),
    "the model is not named": (with_result(backend=None), AgentContract.test_the_model_is_named),
    "the tokens are not counted": (
        with_result(usage=None),
        AgentContract.test_the_tokens_are_counted_and_told_before_the_end,
    ),
    "what was consumed is not told": (
        without(UsageReported),
        AgentContract.test_the_tokens_are_counted_and_told_before_the_end,
    ),
    "thoughts are not told": (without(Thought), AgentContract.test_thoughts_are_told_apart_from_the_answer),
    "plans are not told": (without(PlanMade), AgentContract.test_a_plan_is_told_whole_whenever_it_changes),
    "denials are not told": (
        without(PermissionAsked),
        AgentContract.test_a_tool_that_was_denied_is_told_with_what_it_was_to_do,
    ),
    "calls that are made again are not told": (
        without(Retried),
        AgentContract.test_a_call_of_the_model_that_is_made_again_is_told_with_its_reason,
    ),
    "the answer is not told": (without(OutputGenerated), AgentContract.test_the_answer_is_told_whole_and_once),
    "the result has no session": (
        with_result(session_id=""),
        AgentContract.test_the_session_is_named_when_it_begins_and_in_the_result,
    ),
    "a failure passes for a success": (
        with_result(failure=None, error=""),
        AgentContract.test_what_the_agent_calls_a_failure_is_one_in_its_words,
    ),
    "silence passes for a success": (
        with_result(failure=None),
        AgentContract.test_an_end_without_a_result_is_a_failure_and_what_was_said_is_kept,
    ),
    "half a message passes for a success": (
        with_result(failure=None),
        AgentContract.test_an_end_within_a_message_is_a_failure_and_what_came_before_it_is_kept,
    ),
    "every failure is of one kind": (
        with_result(failure=FailureKind.AGENT_ERROR),
        AgentContract.test_what_is_used_up_is_limit_reached,
    ),
    "what is not taken is hoarded": (hoard, AgentContract.test_output_that_nobody_takes_waits_where_it_comes_from),
    "a cancel leaves a process": (leave_somebody, AgentContract.test_a_cancel_leaves_no_process),
    "a secret is seen": (tell_a_secret, AgentContract.test_it_sees_no_secret_of_the_worker),
    "what nobody allowed is used": (
        through(Lenient),
        AgentContract.test_a_tool_that_nobody_allowed_is_not_used,
    ),
    "a follow-up begins anew": (with_request(session_id=""), AgentContract.test_a_follow_up_knows_what_was_said),
    "a fork is none": (
        with_request(fork=False),
        AgentContract.test_a_fork_knows_what_was_said_and_leaves_the_session_as_it_was,
    ),
    "an unknown session is a new one": (
        with_request(session_id=""),
        AgentContract.test_a_session_that_is_not_there_is_a_failure_in_clear_words,
    ),
}


#: Seconds after which a test that waits for something has found that it does not come.
LONG_ENOUGH = 5.0
WAITS = ("text comes when all is over", "a message comes when it is whole")

#: Around whom a bug is planted, where it is not an agent of kind `acp`: its protocol cannot say everything.
STAGES: dict[str, Callable[[Path], AgentStage]] = {"calls that are made again are not told": JsonLinesStage}


@pytest.fixture
def sabotage(request: pytest.FixtureRequest, tmp_path: Path, bug: str) -> Iterator[Sabotage]:
    sabotage = Sabotage(STAGES.get(bug, AcpStage)(tmp_path), request.node, BUGS[bug][0])
    tracemalloc.start()
    yield sabotage
    tracemalloc.stop()
    kill_all_of(sabotage.run_id)


@pytest.mark.parametrize("bug", BUGS)
async def test_the_contract_finds(bug: str, sabotage: Sabotage) -> None:
    test = BUGS[bug][1]
    fixtures = {"rehearsal": sabotage, "sink": RecordingSink(), "fork": False}
    asked = {name: fixtures[name] for name in inspect.signature(test).parameters if name in fixtures}
    with pytest.raises(TimeoutError if bug in WAITS else AssertionError):
        await asyncio.wait_for(test(AgentContract(), **asked), LONG_ENOUGH if bug in WAITS else None)
