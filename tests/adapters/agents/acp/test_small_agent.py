"""A whole agent of the protocol's own Python library, from its start to its end."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.acp.definition import AcpDefinition
from taskrun.adapters.agents.definitions import make_agent
from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    ExecutionCompleted,
    ExecutionStarted,
    Logged,
    OutputGenerated,
    Permission,
    PermissionAsked,
    PlanMade,
    SessionInitialized,
    Severity,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)
from taskrun.ports.agents import Agent, AgentRequest, AgentResult
from taskrun.testing.recording_sink import RecordingSink

SMALL = str(Path(__file__).with_name("small_agent.py"))


@pytest.fixture
def agent(work_dir: Path, environ: dict[str, str]) -> Callable[..., Agent]:
    def make(*cannot: str, stop_grace: float = 5.0, **keys: Any) -> Agent:
        definition = AcpDefinition(name="small", command=(sys.executable, SMALL, *cannot), **keys)
        return make_agent(definition, work_dir=work_dir, environ=environ, stop_grace=stop_grace)

    return make


@pytest.fixture
def run(agent: Callable[..., Agent], sink: RecordingSink, run_id: str) -> Callable[..., Any]:
    """Runs one prompt."""

    async def run(text: str, *cannot: str, session_id: str = "", fork: bool = False, **keys: Any) -> AgentResult:
        request = AgentRequest(run_id, "task-1", json.dumps(text), session_id=session_id, fork=fork)
        return await agent(*cannot, **keys).run(request, sink)

    return run


Run = Callable[..., Any]


async def test_a_turn_is_streamed_and_its_end_is_the_agents_word(run: Run, sink: RecordingSink) -> None:
    result = await run("say one two")
    assert (result.failure, result.error, sink.texts) == (None, "", ["one", "two"])
    assert result.backend == ModelBackend("small", "small-1", 0, supports_streaming=True)
    assert result.usage == Usage(7, 3, 2, 1)
    assert sink.events[1:] == [
        SessionInitialized(result.session_id, "small-1", "1.2"),
        OutputGenerated("onetwo", 6),
        ExecutionCompleted(),
    ]
    assert isinstance(sink.events[0], ExecutionStarted)


async def test_work_is_told_as_it_happens(run: Run, sink: RecordingSink) -> None:
    result = await run("work execute", allowed_tools=("execute",))
    assert result.failure is None
    assert sink.output == "first\nthen"
    assert sink.events[2:-1] == [
        Thought("hm"),
        PlanMade("[x] look\n[ ] tell"),
        ToolRequested("execute", "t1", "ls -l"),
        PermissionAsked("execute", Permission.ALLOWED, "t1", "ls -l"),
        ToolCompleted("execute", "t1", "ok", 4),
        UsageReported(cost_usd=0.25),
        OutputGenerated("then", 4),
    ]
    assert result.usage == Usage(7, 3, 2, 1, 0.25)
    assert result.backend.context_window == 1000


@pytest.mark.parametrize(
    "keys", [{}, {"allowed_tools": ("read",)}, {"allowed_tools": ("*",), "disallowed_tools": ("exec*",)}]
)
async def test_what_nobody_allowed_is_denied(run: Run, sink: RecordingSink, keys: dict[str, Any]) -> None:
    await run("work execute", **keys)
    assert [asked.decision for asked in sink.those(PermissionAsked)] == [Permission.DENIED]
    assert [told.outcome for told in sink.those(ToolCompleted)] == ["error"]


async def test_a_tool_that_nobody_allowed_and_that_was_used_without_asking_is_told_once(
    run: Run, sink: RecordingSink
) -> None:
    await run("slip execute", allowed_tools=("read",))
    words = "The agent used execute without asking, and nothing allows it."
    assert sink.those(Logged) == [Logged(words, Severity.WARNING)]


async def test_a_tool_that_is_allowed_may_be_used_without_asking(run: Run, sink: RecordingSink) -> None:
    await run("slip execute", allowed_tools=("exec*",))
    assert sink.those(Logged) == []


async def test_the_workers_files_and_terminals_are_not_the_agents(run: Run, sink: RecordingSink) -> None:
    assert (await run("overreach")).failure is None
    assert sink.output == "-32601 " * 3


async def test_a_prompt_is_text_in_its_template(run: Run, sink: RecordingSink) -> None:
    await run("/say no", prompt="say {input}")
    assert sink.output == "/sayno"


@pytest.mark.parametrize(("text", "prompt"), [("text", "{input.path}"), (" ", "{input}")], ids=["no key", "empty"])
async def test_a_prompt_that_is_not_to_be_had_is_agent_error(run: Run, text: str, prompt: str) -> None:
    assert (await run(text, prompt=prompt)).failure is FailureKind.AGENT_ERROR


# How it ends.


@pytest.mark.parametrize(
    ("reason", "failure"),
    [
        ("refusal", FailureKind.REFUSED),
        ("max_tokens", FailureKind.LIMIT_REACHED),
        ("max_turn_requests", FailureKind.LIMIT_REACHED),
        ("cancelled", FailureKind.AGENT_ERROR),
    ],
)
async def test_a_stop_reason_that_is_no_success_is_a_failure(
    run: Run, sink: RecordingSink, reason: str, failure: FailureKind
) -> None:
    result = await run(f"stop {reason}")
    assert (result.failure, sink.output, sink.those(OutputGenerated)) == (failure, "so far", [])


async def test_an_error_is_told_in_the_agents_words(run: Run) -> None:
    result = await run("fail no such ticket")
    assert result.failure is FailureKind.AGENT_ERROR
    assert result.error == 'The agent answered with an error: no such ticket {"details": "in detail"}'


async def test_a_login_that_is_not_accepted_is_agent_unavailable(run: Run, sink: RecordingSink) -> None:
    assert (await run("say no", login="another key")).failure is FailureKind.AGENT_UNAVAILABLE
    assert (await run("say yes", login="a key")).failure is None
    assert sink.output == "yes"


# How it is set up.


async def test_options_go_by_id_or_category(run: Run, sink: RecordingSink) -> None:
    result = await run("settings", options={"model": "small-2", "llm": "small-3", "mode": "careful"})
    assert sink.texts == ["llm=small-2", "llm=small-3", "mode=careful"]
    assert result.backend.model_name == "small-2"


async def test_an_option_that_it_has_not_is_agent_unavailable(run: Run) -> None:
    result = await run("say no", options={"colour": "red"})
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert result.error == "This agent has no option 'colour'; it has: llm."


async def test_servers_are_named_with_their_whole_path(run: Run, sink: RecordingSink) -> None:
    await run("recall", mcp_servers={"files": ("sh", "-c", "files")})
    assert re.fullmatch(r"files:/.*/sh\['-c','files'\]\nrecall", sink.output)


async def test_a_server_that_is_not_installed_is_agent_unavailable(run: Run) -> None:
    result = await run("say no", mcp_servers={"files": ("no-such-program",)})
    assert (result.failure, "no-such-program" in result.error) == (FailureKind.AGENT_UNAVAILABLE, True)


def test_the_model_that_the_definition_names_is_announced(agent: Callable[..., Agent]) -> None:
    assert agent(options={"model": "m"}).spec.backends == (ModelBackend("", "m", supports_streaming=True),)
    assert agent().spec.backends == ()


# Sessions.


@pytest.mark.parametrize("cannot", [(), ("resume",)], ids=["by resuming", "by loading"])
async def test_a_session_is_gone_on_with_and_what_was_said_before_is_not_said_again(
    run: Run, sink: RecordingSink, cannot: tuple[str, ...]
) -> None:
    first = await run("say one", *cannot)
    again = await run("recall", *cannot, session_id=first.session_id)
    assert (again.failure, again.session_id) == (None, first.session_id)
    assert sink.texts == ["one", "say", "one\nrecall"]


async def test_each_turn_of_a_session_has_its_own_cost(run: Run) -> None:
    """The agent tells what its session cost, which each turn makes a quarter of a dollar more."""
    first = await run("work execute")
    again, more = [await run("work execute", session_id=first.session_id) for _ in range(2)]
    assert [turn.usage.cost_usd for turn in (first, again, more)] == [0.25] * 3


async def test_a_fork_leaves_the_session_as_it_was(run: Run, sink: RecordingSink) -> None:
    first = await run("say one")
    fork = await run("say two", session_id=first.session_id, fork=True)
    assert fork.session_id not in ("", first.session_id)
    sink.texts.clear()
    await run("recall", session_id=first.session_id)
    await run("recall", session_id=fork.session_id)
    assert sink.output == "sayone\nrecallsayone\nsaytwo\nrecall"


@pytest.mark.parametrize(("cannot", "fork"), [(("fork",), True), (("resume", "load"), False)])
async def test_what_an_agent_cannot_go_on_with_is_agent_unavailable(
    run: Run, cannot: tuple[str, ...], fork: bool
) -> None:
    first = await run("say one")
    result = await run("say no", *cannot, session_id=first.session_id, fork=fork)
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert f"cannot go on with session {first.session_id}: it has no way" in result.error


async def test_a_session_that_the_agent_has_lost_is_agent_unavailable(run: Run, sink: RecordingSink) -> None:
    first = await run("forget")
    result = await run("say no", session_id=first.session_id)
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert f"cannot go on with session {first.session_id}: Resource not found" in result.error
    assert sink.output == ""


async def test_an_agent_that_keeps_no_sessions_names_none(run: Run) -> None:
    assert (await run("say one", "resume", "load")).session_id == ""


# Its end before its time.


async def test_a_cancel_is_told_to_the_agent_whose_session_can_be_gone_on_with(
    agent: Callable[..., Agent], sink: RecordingSink, run: Run, run_id: str
) -> None:
    running = asyncio.create_task(agent().run(AgentRequest(run_id, "task-1", '"wait well"'), sink))
    await sink.until(lambda sink: sink.output == "ready")
    running.cancel()
    result = await running
    assert result.failure is FailureKind.CANCELLED
    sink.texts.clear()
    await run("recall", session_id=result.session_id)
    assert sink.output == "waitwell\ncancelled\nrecall"


async def test_an_agent_that_does_not_obey_a_cancel_is_ended(
    agent: Callable[..., Agent], sink: RecordingSink, run_id: str
) -> None:
    running = asyncio.create_task(agent(stop_grace=0.2).run(AgentRequest(run_id, "task-1", '"wait stubbornly"'), sink))
    await sink.until(lambda sink: sink.output == "ready")
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_the_time_limit_ends_a_turn(run: Run) -> None:
    assert (await run("wait well", timeout=2.5)).failure is FailureKind.TIMEOUT
