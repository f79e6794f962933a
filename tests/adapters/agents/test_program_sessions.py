"""What every kind of agent that is a program has of sessions, tried with one that is a shell script."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskrun.adapters.agents.command import CommandDefinition
from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.process import ContainedProcess
from taskrun.adapters.agents.definitions import SESSIONS, make_agent, make_workshop
from taskrun.adapters.agents.program import Launch, ProgramAgent
from taskrun.adapters.agents.sessions.definition import SessionDefinition
from taskrun.adapters.agents.sessions.shelf import Keeping
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink
from taskrun.testing.recording_sink import RecordingSink

#: Notes what it is told and says all of it; told to wait, it waits to be told more.
SCRIPT = 'read line; echo "$line" >> said; cat said; case $line in *wait*) read word; echo "$word";; esac'
BROKEN_OFF = "broken off"


class Scribe(ProgramAgent[SessionDefinition]):
    """Its sessions are called after the input they began with."""

    def launch(self, request: AgentRequest, directory: RunDirectory) -> Launch:
        session_id = request.input_json if request.fork or not request.session_id else request.session_id
        return Launch(
            ("sh", "-c", f"echo '{session_id}'; {SCRIPT}"), f"{request.input_json}\n".encode(), {}, talks=True
        )

    async def interrupt(self, process: ContainedProcess) -> bool:
        await process.tell(f"{BROKEN_OFF}\n".encode())
        return True

    async def follow(self, request: AgentRequest, process: ContainedProcess, sink: AgentSink) -> AgentResult:
        output = ""
        async for block in process.output():
            output += block.decode()
            await sink.text(block.decode())
        await process.ending()
        failure = FailureKind.AGENT_ERROR if BROKEN_OFF in output else None
        return AgentResult(failure, session_id=output.splitlines()[0])


@pytest.fixture
def scribe(work_dir: Path, environ: dict[str, str]) -> Callable[..., Scribe]:
    def make(stop_grace: float = 5.0, timeout: float = 60.0, keep_sessions: float | None = None) -> Scribe:
        definition = SessionDefinition(name="scribe", kind="scribe", timeout=timeout, keep_sessions=keep_sessions)
        return Scribe(definition, make_workshop(work_dir, environ, stop_grace, Keeping()))

    return make


@pytest.fixture
def ask(run_id: str) -> Callable[..., AgentRequest]:
    def ask(text: str, session_id: str = "", fork: bool = False) -> AgentRequest:
        return AgentRequest(run_id, "task-1", text, session_id=session_id, fork=fork)

    return ask


async def said(agent: Scribe, request: AgentRequest) -> list[str]:
    """What the agent was told so far in this session."""
    sink = RecordingSink()
    result = await agent.run(request, sink)
    assert (result.failure, result.error) == (None, "")
    return sink.output.splitlines()[1:]


async def refusal(agent: Scribe, request: AgentRequest) -> str:
    result = await agent.run(request, RecordingSink())
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    return result.error


Ask = Callable[..., AgentRequest]
MakeScribe = Callable[..., Scribe]


async def test_a_session_goes_on_and_so_it_does_after_the_worker_was_started_anew(scribe: MakeScribe, ask: Ask) -> None:
    assert await said(scribe(), ask("one")) == ["one"]
    assert await said(scribe(), ask("two", "one")) == ["one", "two"]
    assert await said(scribe(), ask("three", "one")) == ["one", "two", "three"]


async def test_a_fork_leaves_the_session_as_it_was(scribe: MakeScribe, ask: Ask) -> None:
    agent = scribe()
    await said(agent, ask("one"))
    assert await said(agent, ask("fork", "one", fork=True)) == ["one", "fork"]
    assert await said(agent, ask("two", "one")) == ["one", "two"]
    assert await said(agent, ask("three", "fork")) == ["one", "fork", "three"]


async def test_an_unknown_session_fails_the_run_in_clear_words(scribe: MakeScribe, ask: Ask) -> None:
    assert (await refusal(scribe(), ask("two", "one"))).startswith("No session one is kept here: ")


async def test_an_agent_that_keeps_no_sessions_leaves_nothing(scribe: MakeScribe, ask: Ask, work_dir: Path) -> None:
    agent = scribe(keep_sessions=0)
    await said(agent, ask("one"))
    assert os.listdir(work_dir / SESSIONS) == []
    assert (await refusal(agent, ask("two", "one"))).startswith("No session one is kept here: ")


async def test_a_kind_without_sessions_says_so(work_dir: Path, environ: dict[str, str], ask: Ask) -> None:
    definition = CommandDefinition(name="tool", command=("cat",))
    agent = make_agent(definition, work_dir=work_dir, environ=environ, stop_grace=1.0)
    result = await agent.run(ask("two", "one"), RecordingSink())
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert result.error == "There is no session one here: the agent tool has none."


async def test_a_second_run_in_a_session_fails_at_once_and_the_first_goes_on(scribe: MakeScribe, ask: Ask) -> None:
    agent, sink = scribe(), RecordingSink()
    await said(agent, ask("one"))
    first = asyncio.create_task(agent.run(ask("wait", "one"), sink))
    await sink.until(lambda sink: "wait" in sink.output)
    assert "in use" in await refusal(agent, ask("two", "one"))
    first.cancel()
    await first
    assert await said(agent, ask("two", "one")) == ["one", "wait", "two"]


async def test_what_is_cancelled_says_how_far_it_got_and_can_be_gone_on_with(scribe: MakeScribe, ask: Ask) -> None:
    agent, sink = scribe(), RecordingSink()
    run = asyncio.create_task(agent.run(ask("wait"), sink))
    await sink.until(lambda sink: sink.output.count("wait") == 2)
    run.cancel()
    result = await run
    assert (result.failure, result.session_id) == (FailureKind.CANCELLED, "wait")
    assert sink.output.endswith(f"{BROKEN_OFF}\n")
    assert await said(agent, ask("two", "wait")) == ["wait", "two"]


async def test_what_runs_out_of_time_says_how_far_it_got(scribe: MakeScribe, ask: Ask) -> None:
    result = await scribe(timeout=0.5).run(ask("wait"), RecordingSink())
    assert (result.failure, result.session_id) == (FailureKind.TIMEOUT, "wait")
    assert "0.5 s" in result.error


async def test_who_does_not_listen_is_ended_within_the_grace(
    scribe: MakeScribe, ask: Ask, monkeypatch: pytest.MonkeyPatch, work_dir: Path
) -> None:
    monkeypatch.setattr(Scribe, "interrupt", lambda self, process: asyncio.sleep(0, True))
    monkeypatch.setattr(f"{__name__}.SCRIPT", "trap '' TERM; cat; sleep 1000; sleep 1000")
    sink = RecordingSink()
    run = asyncio.create_task(scribe(stop_grace=1.0).run(ask("wait"), sink))
    await sink.until(lambda sink: sink.output.count("wait") == 2)
    began = time.monotonic()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert 0.9 < time.monotonic() - began < 2.5
    assert os.listdir(work_dir / SESSIONS) == []


async def test_who_cannot_be_asked_is_ended_at_once(
    scribe: MakeScribe, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scribe, "interrupt", ProgramAgent.interrupt)
    sink = RecordingSink()
    run = asyncio.create_task(scribe().run(ask("wait"), sink))
    await sink.until(lambda sink: sink.output.count("wait") == 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
