"""Conversations with the real Claude Code CLI: a scripted model sees the turns before, or sees that there were none."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from taskrun.adapters.agents.claude_code import ClaudeCodeDefinition
from taskrun.adapters.agents.definitions import make_agent
from taskrun.domain.records import Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import UsageReported
from taskrun.ports.agents import Agent, AgentRequest, AgentResult
from taskrun.testing.model_scripts import Say, Tokens, Turn, UseTool, in_turn
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel


@pytest.fixture
def agent(work_dir: Path, environ: dict[str, str], model: ScriptedModel) -> Callable[[], Agent]:
    """One as a worker makes it that was just started."""

    def make() -> Agent:
        definition = ClaudeCodeDefinition(name="claude", allowed_tools=("Bash",))
        return make_agent(definition, work_dir=work_dir, environ=environ | model.environ(), stop_grace=5.0)

    return make


@pytest.fixture
def say(run_id: str) -> Callable[..., AgentRequest]:
    def say(text: str, session_id: str = "", *, fork: bool = False) -> AgentRequest:
        return AgentRequest(run_id, "task-1", json.dumps(text), session_id=session_id, fork=fork)

    return say


SayIt = Callable[..., AgentRequest]


async def turn(agent: Agent, request: AgentRequest) -> tuple[str, AgentResult]:
    """What it answers."""
    sink = RecordingSink()
    result = await agent.run(request, sink)
    assert (result.failure, result.error) == (None, "")
    return sink.output, result


async def test_a_conversation_of_three_turns_keeps_its_context(
    agent: Callable[[], Agent], say: SayIt, model: ScriptedModel
) -> None:
    _, first = await turn(agent(), say("I am Ada."))
    _, second = await turn(agent(), say("My cat is Pixel.", first.session_id))
    answer, third = await turn(agent(), say("[[recall]]", second.session_id))
    assert answer == "You told me before:\nI am Ada.\nMy cat is Pixel."
    assert Turn("assistant", "You said: I am Ada.") in model.requests[-1].turns
    assert first.session_id == second.session_id == third.session_id


async def test_two_sessions_know_nothing_of_each_other(agent: Callable[[], Agent], say: SayIt) -> None:
    await turn(agent(), say("I am Ada."))
    answer, _ = await turn(agent(), say("[[recall]]"))
    assert answer == "You told me nothing before."


async def test_a_fork_knows_what_was_said_and_the_session_does_not_know_the_fork(
    agent: Callable[[], Agent], say: SayIt
) -> None:
    _, first = await turn(agent(), say("I am Ada."))
    _, fork = await turn(agent(), say("Or Grace.", first.session_id, fork=True))
    assert fork.session_id != first.session_id
    answer, _ = await turn(agent(), say("[[recall]]", first.session_id))
    assert answer == "You told me before:\nI am Ada."
    answer, _ = await turn(agent(), say("[[recall]]", fork.session_id))
    assert answer == "You told me before:\nI am Ada.\nOr Grace."


async def test_a_session_has_the_files_that_it_made(agent: Callable[[], Agent], say: SayIt) -> None:
    _, first = await turn(agent(), say("[[bash: echo kept > notes]]"))
    answer, _ = await turn(agent(), say("[[bash: cat notes]]", first.session_id))
    assert answer == "The tool answered: kept"


async def test_what_was_cancelled_can_be_gone_on_with(
    agent: Callable[[], Agent], say: SayIt, model: ScriptedModel
) -> None:
    script, model.script = model.script, in_turn(Say("one two three", delay=30.0))
    sink = RecordingSink()
    run = asyncio.create_task(agent().run(say("I am Ada."), sink))
    await sink.until(lambda sink: sink.output == "one")
    run.cancel()
    cancelled = await run
    assert cancelled.failure is FailureKind.CANCELLED
    model.script = script
    answer, _ = await turn(agent(), say("[[recall]]", cancelled.session_id))
    assert "I am Ada." in answer


def figures(usage: Usage) -> tuple[int, int, int, int]:
    return usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens


async def test_each_turn_counts_what_it_used_itself(
    agent: Callable[[], Agent], say: SayIt, model: ScriptedModel
) -> None:
    turns = [Tokens(1000, 100, 0, 500), Tokens(10, 20, 1500, 0), Tokens(5, 5, 2000, 0)]
    model.script = in_turn(
        Say("one", tokens=turns[0]), UseTool("Bash", {"command": "true"}, tokens=turns[1]), Say("two", tokens=turns[2])
    )
    _, first = await turn(agent(), say("hi"))
    sink = RecordingSink()
    second = await agent().run(say("more", first.session_id), sink)
    assert first.usage is not None
    assert second.usage is not None
    assert figures(first.usage) == (1000, 100, 0, 500)
    assert figures(second.usage) == (15, 25, 3500, 0)
    assert 0 < (second.usage.cost_usd or 0) < (first.usage.cost_usd or 0)
    assert sink.those(UsageReported)[-1].cost_usd == second.usage.cost_usd


def forget(work_dir: Path) -> None:
    [transcripts] = work_dir.glob("sessions/run-*/home/.claude/projects")
    shutil.rmtree(transcripts)


async def test_a_session_whose_transcript_is_gone_is_agent_unavailable(
    agent: Callable[[], Agent], say: SayIt, work_dir: Path
) -> None:
    _, first = await turn(agent(), say("I am Ada."))
    forget(work_dir)
    result = await agent().run(say("[[recall]]", first.session_id), RecordingSink())
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert first.session_id in result.error
