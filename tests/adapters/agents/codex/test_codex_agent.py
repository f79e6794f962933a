"""The real Codex CLI, with a scripted model behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.codex import agent as codex
from taskrun.adapters.agents.codex.agent import find_cli
from taskrun.adapters.agents.codex.definition import CodexDefinition
from taskrun.adapters.agents.definitions import make_agent
from taskrun.domain.records import Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    ExecutionCompleted,
    ExecutionStarted,
    OutputGenerated,
    Retried,
    SessionInitialized,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)
from taskrun.ports.agents import Agent, AgentRequest, AgentResult
from taskrun.testing.clock import jump
from taskrun.testing.model_scripts import (
    BreakOff,
    Fail,
    Hang,
    Reply,
    Say,
    Stall,
    Tokens,
    UseTool,
    default_script,
    in_turn,
)
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel

K = FailureKind

needs_codex = pytest.mark.skipif(find_cli(None) is None, reason="Codex is not installed")

#: A model that this version of the CLI knows: of one that it does not it warns. It may change files, too.
KNOWN = "gpt-5.5"


@pytest.fixture
def agent(work_dir: Path, environ: dict[str, str], model: ScriptedModel) -> Callable[..., Agent]:
    def make(**keys: Any) -> Agent:
        definition = CodexDefinition(name="codex", **{"model": KNOWN, **keys})
        return make_agent(definition, work_dir=work_dir, environ=environ | model.environ(), stop_grace=5.0)

    return make


@pytest.fixture
def run(agent: Callable[..., Agent], sink: RecordingSink, run_id: str, model: ScriptedModel) -> Callable[..., Any]:
    """Runs one input; the model answers with the replies, if there are any, one after the other."""

    async def run(
        *replies: Reply, input: Any = "hi", session: str = "", fork: bool = False, **keys: Any
    ) -> AgentResult:
        if replies:
            model.script = in_turn(*replies)
        request = AgentRequest(run_id, "task-1", json.dumps(input), session_id=session, fork=fork)
        sink.texts.clear()
        sink.events.clear()
        return await agent(**keys).run(request, sink)

    return run


def bash(command: str) -> UseTool:
    return UseTool("Bash", {"command": command})


async def test_without_the_cli_it_is_said_what_is_missing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codex, "find_cli", lambda path: None)
    result = await run()
    assert (result.failure, "pip install taskrun[codex]" in result.error) == (K.AGENT_UNAVAILABLE, True)


@needs_codex
class TestAnswers:
    async def test_a_run_is_told_from_its_beginning_to_its_end(self, run: Any, sink: RecordingSink) -> None:
        result = await run(Say("yes no", thinking="let me see", tokens=Tokens(10, 5, 7)))
        started, *events = sink.events
        assert isinstance(started, ExecutionStarted)
        assert events == [
            SessionInitialized(result.session_id, KNOWN),
            Thought("let me see"),
            UsageReported(KNOWN, 10, 5, 7),
            OutputGenerated("yes no", 6),
            ExecutionCompleted(),
        ]
        assert (result.failure, sink.output, result.usage) == (None, "yes no", Usage(10, 5, 7))
        assert (result.backend.provider, result.backend.model_name) == ("openai", KNOWN)

    async def test_the_model_is_named_that_the_cli_chose_itself(
        self, run: Any, sink: RecordingSink, model: ScriptedModel
    ) -> None:
        result = await run(Say("yes"), model="")
        chosen = model.requests[-1].body["model"]
        [used] = sink.those(UsageReported)
        assert (result.backend.model_name, result.backend.metadata, used.model) == (chosen, {}, chosen)
        follow_up = await run(Say("yes"), model="", session=result.session_id)
        assert follow_up.backend.model_name == chosen

    async def test_the_prompt_is_the_rendered_template_and_the_rest_is_as_defined(
        self, run: Any, model: ScriptedModel
    ) -> None:
        told = 'Be "strict" \x7f😀.'
        await run(Say("fine"), input={"path": "src"}, prompt="Review {input.path}.", system_prompt=told)
        request = model.requests[-1]
        assert (request.prompt, request.body["model"]) == ("Review src.", KNOWN)
        assert told in request.system
        assert request.headers["authorization"] == "Bearer scripted"

    async def test_an_input_without_the_templates_key_fails_in_clear_words(self, run: Any) -> None:
        result = await run(prompt="Review {input.path}.")
        assert (result.failure, "'path'" in result.error) == (K.AGENT_ERROR, True)

    async def test_an_empty_input_asks_nothing(self, run: Any) -> None:
        assert (await run(input=" ")).failure is K.AGENT_ERROR

    async def test_a_promised_answer_is_checked(self, run: Any) -> None:
        assert (await run(Say("good"), answer={"verdict": ()})).failure is K.BAD_OUTPUT

    async def test_an_input_is_text_and_no_option(self, run: Any, sink: RecordingSink) -> None:
        result = await run(input="--help")
        assert (result.failure, sink.output) == (None, "You said: --help")

    async def test_nothing_of_a_directory_that_it_is_in_counts(
        self, run: Any, tmp_path: Path, model: ScriptedModel
    ) -> None:
        (tmp_path / ".codex").mkdir()
        (tmp_path / ".codex" / "config.toml").write_text('model = "another"\n')
        (tmp_path / "AGENTS.md").write_text("Speak of the purple elephant.")
        await run(Say("fine"), working_directory=str(tmp_path))
        assert model.requests[-1].body["model"] == KNOWN
        assert "purple elephant" not in json.dumps(model.requests[-1].body)


@needs_codex
class TestTools:
    async def test_a_command_is_told_with_what_it_answered(
        self, run: Any, sink: RecordingSink, model: ScriptedModel
    ) -> None:
        result = await run(bash("echo from the tool"), Say("done"))
        [asked] = sink.those(ToolRequested)
        [answered] = sink.those(ToolCompleted)
        assert (result.failure, asked.tool, "echo from the tool" in asked.input) == (None, "shell", True)
        assert answered == ToolCompleted("shell", asked.tool_use_id, "ok", len("from the tool\n"))
        assert model.requests[-1].tool_result.endswith("from the tool\n")  # type: ignore[union-attr]

    async def test_a_file_may_be_changed_where_that_is_allowed(
        self, run: Any, sink: RecordingSink, tmp_path: Path
    ) -> None:
        patch = UseTool("apply_patch", {"input": "*** Begin Patch\n*** Add File: new.txt\n+hi\n*** End Patch\n"})
        place = {"working_directory": str(tmp_path)}
        await run(patch, Say("done"), **place)
        assert not (tmp_path / "new.txt").exists()
        await run(patch, Say("done"), sandbox="workspace-write", **place)
        assert (tmp_path / "new.txt").read_text() == "hi\n"
        assert [asked.tool for asked in sink.those(ToolRequested)] == ["apply_patch"]

    @pytest.mark.parametrize(
        ("sandbox", "inside", "outside"),
        [("read-only", False, False), ("workspace-write", True, False), ("danger-full-access", True, True)],
    )
    async def test_a_command_may_write_where_the_sandbox_lets_it(
        self, run: Any, tmp_path: Path, sandbox: str, inside: bool, outside: bool
    ) -> None:
        workspace, other = tmp_path / "in", tmp_path / "out"
        workspace.mkdir()
        other.mkdir()
        command = bash(f"touch {workspace}/mark; touch {other}/mark")
        await run(command, Say("done"), sandbox=sandbox, working_directory=str(workspace))
        assert ((workspace / "mark").exists(), (other / "mark").exists()) == (inside, outside)

    async def test_nobody_can_be_asked_for_more(self, run: Any, tmp_path: Path, model: ScriptedModel) -> None:
        more = {"cmd": f"touch {tmp_path}/mark", "sandbox_permissions": "require_escalated", "justification": "please"}
        await run(UseTool("exec_command", more), Say("as you wish"))
        assert "reject" in (model.requests[-1].tool_result or "")
        assert not (tmp_path / "mark").exists()

    async def test_a_command_sees_neither_the_key_nor_the_workers_secrets(self, run: Any, model: ScriptedModel) -> None:
        await run(bash("env; cat /proc/*/environ"), Say("done"), sandbox="workspace-write")
        seen = model.requests[-1].tool_result or ""
        assert "TASKRUN_RUN_ID" in seen
        assert [name for name in ("OPENAI_API_KEY", "TASKRUN_KEY", "AWS_SECRET") if name in seen] == []


@needs_codex
class TestFailures:
    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (Fail(400, "No such thing."), K.AGENT_ERROR),
            (Fail(401, "No such key."), K.AGENT_UNAVAILABLE),
            (Fail(404, "No such model."), K.AGENT_UNAVAILABLE),
            (Fail(429), K.LIMIT_REACHED),
            (Fail(500), K.AGENT_UNAVAILABLE),
            (BreakOff("one"), K.AGENT_UNAVAILABLE),
            (Say("Once upon", stop_reason="max_tokens"), K.LIMIT_REACHED),
            (Say("Once upon", stop_reason="content_filter"), K.REFUSED),
            (Say("I would rather not.", stop_reason="refusal"), K.BAD_OUTPUT),
        ],
        ids=lambda value: value.value if isinstance(value, FailureKind) else repr(value),
    )
    async def test_what_goes_wrong_is_a_failure_of_a_kind(self, run: Any, reply: Reply, kind: FailureKind) -> None:
        result = await run(reply)
        assert (result.failure, result.error != "") == (kind, True)

    async def test_a_call_that_is_made_again_is_told(self, run: Any, sink: RecordingSink) -> None:
        result = await run(BreakOff("one"), Say("yes"))
        assert (result.failure, sink.output) == (None, "yes")
        assert [told.attempt for told in sink.those(Retried)] == [1]

    async def test_an_endpoint_that_falls_silent_within_its_answer_is_given_up(self, run: Any) -> None:
        # Longer than the CLI takes to start on a busy machine.
        result = await run(Stall("one"), silence=1.0)
        assert (result.failure, "idle timeout" in result.error) == (K.AGENT_UNAVAILABLE, True)

    async def test_an_endpoint_that_never_begins_to_answer_is_given_up(self, run: Any) -> None:
        result = await run(Hang(), silence=0.5)
        assert (result.failure, result.error) == (
            K.AGENT_UNAVAILABLE,
            "Codex had no answer of its model for 1.5 s.",
        )

    async def test_an_endpoint_that_wants_to_be_asked_much_later_is_not_waited_for(
        self, run: Any, sink: RecordingSink
    ) -> None:
        running = asyncio.create_task(run(Fail(429, retry_after=3600)))
        await sink.until(lambda sink: sink.those(Retried) != [])
        jump(900)
        result = await running
        assert (result.failure, "429" in result.error, result.session_id != "") == (K.LIMIT_REACHED, True, True)

    async def test_a_tool_may_be_at_work_for_as_long_as_it_likes(
        self, run: Any, sink: RecordingSink, tmp_path: Path
    ) -> None:
        command = bash(f"until [ -e {tmp_path}/over ]; do sleep 0.05; done")
        running = asyncio.create_task(run(command, Say("done"), sandbox="danger-full-access"))
        await sink.until(lambda sink: sink.those(ToolRequested) != [])
        jump(3000)
        (tmp_path / "over").touch()
        result = await running
        assert (result.failure, result.error, sink.output) == (None, "", "done")

    async def test_nobody_there_is_known_soon(self, run: Any) -> None:
        result = await run(set_environment={"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
        assert (result.failure, "Connection failed" in result.error) == (K.AGENT_UNAVAILABLE, True)

    async def test_the_time_limit_ends_it(self, run: Any) -> None:
        assert (await run(Hang(), timeout=2.0)).failure is K.TIMEOUT

    async def test_a_cancel_leaves_nothing(
        self, run: Any, model: ScriptedModel, run_id: str, processes_of: Callable[[str], list[str]]
    ) -> None:
        model.script = in_turn(Hang())
        running = asyncio.create_task(run())
        assert await asyncio.to_thread(model.wait_for_requests, 1)
        assert processes_of(run_id) != []
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert processes_of(run_id) == []


@needs_codex
class TestConversations:
    async def test_a_follow_up_goes_on_with_what_was_said(
        self, run: Any, sink: RecordingSink, model: ScriptedModel
    ) -> None:
        model.script = default_script
        first = await run(input="I am Ada")
        second = await run(input="[[recall]]", session=first.session_id)
        assert (second.failure, second.session_id) == (None, first.session_id)
        assert sink.output == "You told me before:\nI am Ada"

    async def test_each_turn_tells_its_own_usage(self, run: Any, sink: RecordingSink) -> None:
        first = await run(Say("a", tokens=Tokens(10, 5)))
        second = await run(Say("b", tokens=Tokens(20, 6, 3)), session=first.session_id)
        assert second.usage == Usage(20, 6, 3)
        assert sink.those(UsageReported) == [UsageReported(KNOWN, 20, 6, 3)]

    async def test_a_fork_leaves_the_session_as_it_was(
        self, run: Any, sink: RecordingSink, model: ScriptedModel
    ) -> None:
        model.script = default_script
        first = await run(input="I am Ada")
        fork = await run(input="My cat is grey", session=first.session_id, fork=True)
        assert fork.session_id not in ("", first.session_id)
        await run(input="[[recall]]", session=first.session_id)
        assert sink.output == "You told me before:\nI am Ada"
        await run(input="[[recall]]", session=fork.session_id)
        assert sink.output == "You told me before:\nI am Ada\nMy cat is grey"

    async def test_a_session_that_is_not_there_is_said(self, run: Any, model: ScriptedModel) -> None:
        result = await run(session="7f3a1c9e-0000-4000-8000-000000000000")
        assert (result.failure, "session" in result.error, len(model.requests)) == (K.AGENT_UNAVAILABLE, True, 0)


#: In the CLI's place, which repairs what its commands write.
GARBLED = r"""#!/bin/sh
printf '{"type":"thread.started","thread_id":"t-1"}\n'
printf '\377\376\n'
printf '{"type":"item.completed","item":{"type":"agent_message","id":"1","text":"\377\303("}}\n'
printf '{"type":"turn.completed","usage":{}}\n'
"""


async def test_bytes_that_are_no_utf8_are_replaced_and_end_nothing(
    run: Any, sink: RecordingSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = tmp_path / "codex"
    cli.write_text(GARBLED)
    cli.chmod(0o755)
    monkeypatch.setattr(codex, "find_cli", lambda path: str(cli))
    result = await run()
    assert (result.failure, result.session_id, sink.output) == (None, "t-1", "\N{REPLACEMENT CHARACTER}" * 2 + "(")


async def test_bytes_that_are_no_utf8_are_to_the_cli_a_broken_connection(run: Any) -> None:
    result = await run(Say("\udcff"))
    assert (result.failure, "utf-8" in result.error) == (K.AGENT_UNAVAILABLE, True)
