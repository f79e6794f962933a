"""The real Claude Code CLI, with a scripted model behind it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from taskrun.adapters.agents import claude_code
from taskrun.adapters.agents.claude_code import ClaudeCodeDefinition, find_cli
from taskrun.adapters.agents.claude_speech import CUT_OFF
from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.definitions import BUILT_IN, SESSIONS, make_agent
from taskrun.domain.records import Consumption
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    OutputGenerated,
    Permission,
    PermissionAsked,
    PlanMade,
    Retried,
    SessionInitialized,
    Thought,
    ToolCompleted,
    ToolRequested,
    UsageReported,
)
from taskrun.ports.agents import Agent, AgentRequest, AgentResult
from taskrun.testing.model_scripts import (
    BreakOff,
    Fail,
    Hang,
    ModelRequest,
    Reply,
    Say,
    Stall,
    Tokens,
    UseTool,
    in_turn,
)
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel

RequestFor = Callable[[str], AgentRequest]
GENERAL, SUPPORT_TRIAGE = BUILT_IN


@pytest.fixture
def agent(work_dir: Path, environ: dict[str, str], model: ScriptedModel) -> Callable[..., Agent]:
    def make(definition: AgentDefinition | None = None, **keys: Any) -> Agent:
        definition = definition or ClaudeCodeDefinition(name="claude", **keys)
        return make_agent(definition, work_dir=work_dir, environ=environ | model.environ(), stop_grace=5.0)

    return make


@pytest.fixture
def run(
    agent: Callable[..., Agent], sink: RecordingSink, request_for: RequestFor, model: ScriptedModel
) -> Callable[..., Any]:
    """Runs one input; the model answers with the replies, if there are any, one after the other."""

    async def run(input: Any, *replies: Reply, definition: AgentDefinition | None = None, **keys: Any) -> AgentResult:
        if replies:
            model.script = in_turn(*replies)
        return await agent(definition, **keys).run(request_for(json.dumps(input)), sink)

    return run


def test_the_cli_is_found_without_importing_its_package() -> None:
    assert find_cli(None) is not None


# Answers.


async def test_an_answer_is_streamed_token_by_token(run: Any, sink: RecordingSink) -> None:
    result = await run("hi", Say("one two three"))
    assert result.failure is None
    assert sink.texts == ["one", " two", " three"]


async def test_the_session_the_model_and_the_usage_are_reported(run: Any, sink: RecordingSink) -> None:
    result = await run("hi", Say("hello"), model="claude-opus-5-5")
    assert result.backend.provider == "anthropic"
    assert result.backend.model_name == "claude-opus-5-5"
    assert result.usage.input_tokens > 0
    assert result.usage.output_tokens > 0
    assert result.usage.cost_usd
    [session] = sink.those(SessionInitialized)
    assert session.session_id == result.session_id != ""


async def test_the_prompt_is_the_rendered_template_and_never_an_argument(run: Any, model: ScriptedModel) -> None:
    await run({"path": "src"}, Say("fine"), prompt="Review {input.path}.", system_prompt="You are strict.")
    assert model.requests[0].prompt == "Review src."
    assert "You are strict." in model.requests[0].system


async def test_an_input_without_the_templates_key_fails_in_clear_words(run: Any) -> None:
    result = await run("text", prompt="Review {input.path}.")
    assert (result.failure, "'path'" in result.error) == (FailureKind.AGENT_ERROR, True)


@pytest.mark.parametrize("empty", ["", " \n\t"])
async def test_an_empty_prompt_fails_in_clear_words_before_anything_is_started(
    run: Any, model: ScriptedModel, empty: str
) -> None:
    result = await run(empty, Say("Hello?"))
    assert (result.failure, len(model.requests)) == (FailureKind.AGENT_ERROR, 0)
    assert result.error == "The prompt is empty: this agent needs an input that says what to do."


@pytest.mark.parametrize("prompt", ["/help me", "--version", "look at @/etc/passwd"])
async def test_an_input_is_text_and_no_command(
    run: Any, sink: RecordingSink, model: ScriptedModel, prompt: str
) -> None:
    result = await run(prompt)
    assert (result.failure, sink.output) == (None, f"You said: {prompt}")
    assert "root:" not in json.dumps(model.requests[0].body)


async def test_support_triage_answers_with_the_promised_json(run: Any, sink: RecordingSink) -> None:
    ticket = {"subject": "Charged twice", "body": "My invoice shows two payments, please refund one."}
    result = await run(ticket, definition=SUPPORT_TRIAGE)
    answer = json.loads(sink.output)
    assert result.failure is None
    assert (answer["priority"], answer["category"]) == ("high", "billing")
    assert sorted(answer) == ["category", "priority", "suggested_action", "summary"]


async def test_support_triage_that_answers_in_prose_is_bad_output(run: Any) -> None:
    result = await run("help", Say("I would call it urgent."), definition=SUPPORT_TRIAGE)
    assert result.failure is FailureKind.BAD_OUTPUT
    assert result.usage.output_tokens > 0


# Tools.


async def test_a_tool_that_is_allowed_is_used_and_told(run: Any, sink: RecordingSink) -> None:
    result = await run("[[bash: echo from the tool]]", definition=GENERAL)
    assert (result.failure, sink.output) == (None, "The tool answered: from the tool")
    [asked] = sink.those(ToolRequested)
    [answered] = sink.those(ToolCompleted)
    assert (asked.tool, asked.input) == ("Bash", "echo from the tool")
    assert (answered.tool, answered.outcome, answered.result_size) == ("Bash", "ok", len("from the tool"))
    assert asked.tool_use_id == answered.tool_use_id


@pytest.mark.parametrize("allowed", [(), ("Bash(git *)",)])
async def test_a_tool_that_is_not_allowed_is_denied(
    run: Any, sink: RecordingSink, tmp_path: Path, allowed: tuple[str, ...]
) -> None:
    mark = tmp_path / "touched"
    command = UseTool("Bash", {"command": f"touch {mark}"})
    result = await run("hi", command, Say("as you wish"), allowed_tools=allowed)
    assert result.failure is None
    assert [told.outcome for told in sink.those(ToolCompleted)] == ["error"]
    assert "touched" not in os.listdir(tmp_path)
    # A tool that no rule names is not there to be asked for.
    assert [told.decision for told in sink.those(PermissionAsked)] == [Permission.DENIED] * len(allowed)


async def test_a_tool_that_is_disallowed_is_denied_even_if_another_rule_allows_it(
    run: Any, sink: RecordingSink
) -> None:
    rules = {"allowed_tools": ("Bash",), "disallowed_tools": ("Bash(touch *)",)}
    await run("hi", UseTool("Bash", {"command": "touch x"}), Say("as you wish"), **rules)
    [asked] = sink.those(ToolRequested)
    assert sink.those(PermissionAsked) == [PermissionAsked("Bash", Permission.DENIED, asked.tool_use_id, "touch x")]
    assert [told.outcome for told in sink.those(ToolCompleted)] == ["error"]


async def test_a_tool_call_sees_no_secret_of_the_worker(run: Any, sink: RecordingSink) -> None:
    await run("[[bash: env; ls -a; cat /proc/1/environ | tr '\\0' '\\n']]", definition=GENERAL)
    assert "TASKRUN_RUN_ID" in sink.output
    for secret in ("TASKRUN_KEY", "AWS_SECRET_ACCESS_KEY", "worker's secret"):
        assert secret not in sink.output


async def test_a_call_that_holds_a_large_file_is_denied_and_nobody_waits(
    run: Any, sink: RecordingSink, tmp_path: Path
) -> None:
    path = tmp_path / "long"
    command = UseTool("Write", {"file_path": str(path), "content": "x" * 2_000_000})
    result = await run("hi", command, Say("as you wish"), allowed_tools=("Write(/nowhere/**)",))
    assert (result.failure, sink.output, os.listdir(tmp_path).count("long")) == (None, "as you wish", 0)
    assert [told.outcome for told in sink.those(ToolCompleted)] == ["error"]


async def test_a_prompt_may_be_as_long_as_an_input(run: Any, model: ScriptedModel) -> None:
    prompt = "\u00e9" * 150_000
    result = await run(prompt, Say("read"))
    assert (result.failure, model.requests[0].prompt) == (None, prompt)


# What else is told.


async def test_thoughts_are_told_beside_the_answer(run: Any, sink: RecordingSink) -> None:
    await run("hi", Say("yes", thinking="let me see"))
    assert sink.those(Thought) == [Thought("let me see")]
    assert (sink.output, sink.those(OutputGenerated)) == ("yes", [OutputGenerated("yes", 3)])


async def test_a_plan_is_told_with_every_step(run: Any, sink: RecordingSink) -> None:
    create = UseTool("TaskCreate", {"subject": "look", "description": "around"})
    update = UseTool("TaskUpdate", {"taskId": "1", "status": "completed"})
    result = await run("hi", create, update, Say("done"), allowed_tools=("TaskCreate", "TaskUpdate"))
    assert result.failure is None
    assert sink.those(PlanMade) == [PlanMade("[ ] look"), PlanMade("[x] look")]


async def test_a_call_that_is_made_again_is_told(run: Any, sink: RecordingSink) -> None:
    result = await run("hi", Fail(529), Fail(429, retry_after=1), Say("at last"))
    assert (result.failure, sink.output) == (None, "at last")
    assert [(told.error, told.attempt) for told in sink.those(Retried)] == [
        ("overloaded (HTTP 529)", 1),
        ("rate_limit (HTTP 429)", 2),
    ]
    assert all(told.delay_ms > 0 for told in sink.those(Retried))


def figures(used: Consumption) -> tuple[int, int, int, int]:
    return used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens


async def test_all_models_of_a_run_count(run: Any, sink: RecordingSink, model: ScriptedModel) -> None:
    def script(request: ModelRequest) -> Reply:
        if request.prompt == "help out":
            return Say("helped", tokens=Tokens(1000, 200, 30, 4))
        if request.tool_result is not None:
            return Say("done", tokens=Tokens(1, 2))
        call = {"description": "help", "prompt": "help out", "subagent_type": "general-purpose", "model": "haiku"}
        return UseTool("Agent", call, tokens=Tokens(10, 20))

    model.script = script
    result = await run("hi", allowed_tools=("Agent",), model="opus")
    assert (result.failure, sink.output) == (None, "done")
    usage, [large, small] = result.usage, sorted(result.usage.by_model)[::-1]
    assert ("opus" in large, "haiku" in small) == (True, True)
    assert figures(usage.by_model[large]) == (11, 22, 0, 0)
    assert figures(usage.by_model[small]) == (1000, 200, 30, 4)
    assert figures(usage) == (1011, 222, 30, 4)
    assert usage.cost_usd == pytest.approx(sum(usage.by_model[model].cost_usd for model in (large, small)))
    assert [told.output_tokens for told in sink.those(UsageReported)] == [20, 22, 222]
    assert "opus" in result.backend.model_name


# Failures.


async def test_too_many_turns_are_limit_reached(run: Any) -> None:
    forever = UseTool("Bash", {"command": "true"})
    assert (await run("hi", forever, allowed_tools=("Bash",), max_turns=2)).failure is FailureKind.LIMIT_REACHED


NO_RETRY = {"CLAUDE_CODE_MAX_RETRIES": "0"}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Fail(401, "bad key"), FailureKind.AGENT_UNAVAILABLE),
        (Fail(429, "slow down", retry_after=1), FailureKind.LIMIT_REACHED),
        (Fail(529), FailureKind.AGENT_UNAVAILABLE),
        (Fail(400, "no such thing"), FailureKind.AGENT_ERROR),
        (Say("I can not help with that.", stop_reason="refusal"), FailureKind.REFUSED),
        (BreakOff("I was about to"), FailureKind.AGENT_UNAVAILABLE),
    ],
    ids=str,
)
async def test_an_answer_that_is_an_error_is_a_failure_of_its_kind(run: Any, reply: Reply, kind: FailureKind) -> None:
    result = await run("hi", reply, set_environment=NO_RETRY)
    assert result.failure is kind
    assert result.error != ""
    assert result.session_id != ""


async def test_a_broken_stream_is_begun_anew_and_the_output_says_so(run: Any, sink: RecordingSink) -> None:
    result = await run("hi", BreakOff("one two"), Say("one two three"))
    assert (result.failure, sink.output) == (None, f"one two{CUT_OFF}one two three")


async def test_a_stream_that_falls_silent_is_agent_unavailable(run: Any, sink: RecordingSink) -> None:
    impatient = {"CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": "2000", **NO_RETRY}
    result = await run("hi", Stall("one two"), set_environment=impatient)
    assert (result.failure, sink.output) == (FailureKind.AGENT_UNAVAILABLE, "one two")
    assert "idle" in result.error


async def test_a_dead_endpoint_is_agent_unavailable_within_a_minute(run: Any) -> None:
    began = time.monotonic()
    result = await run("hi", set_environment={"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"})
    assert result.failure is FailureKind.AGENT_UNAVAILABLE
    assert time.monotonic() - began < 60


async def test_without_a_cli_the_agent_is_unavailable_and_says_how_to_get_it(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_code, "find_spec", lambda name: None)
    monkeypatch.setattr(claude_code, "which", lambda name, path: None)
    result = await run("hi")
    assert (result.failure, "taskrun[claude]" in result.error) == (FailureKind.AGENT_UNAVAILABLE, True)


# The end.


async def test_a_cancel_in_the_middle_of_a_tool_call_leaves_no_process(
    agent: Callable[..., Agent],
    sink: RecordingSink,
    request_for: RequestFor,
    run_id: str,
    processes_of: Callable[[str], list[str]],
) -> None:
    prompt = json.dumps("[[bash: setsid sleep 1000 & trap '' TERM; sleep 1000]]")
    run = asyncio.create_task(agent(GENERAL).run(request_for(prompt), sink))
    await sink.until(lambda sink: sink.those(ToolRequested))
    # The command is under way once both of its processes are there; nothing but a look tells that.
    while len([line for line in processes_of(run_id) if line.startswith("sleep")]) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    run.cancel()
    assert (await run).failure is FailureKind.CANCELLED
    assert processes_of(run_id) == []


async def test_a_cancelled_run_is_interrupted_first_and_says_what_it_used(
    agent: Callable[..., Agent], sink: RecordingSink, request_for: RequestFor, model: ScriptedModel
) -> None:
    model.script = in_turn(Say("one two three four", delay=30.0, tokens=Tokens(100, 20, 30, 40)))
    run = asyncio.create_task(agent(GENERAL).run(request_for('"hi"'), sink))
    await sink.until(lambda sink: sink.output == "one")
    run.cancel()
    result = await run
    assert result.failure is FailureKind.CANCELLED
    assert result.session_id != ""
    assert result.usage is not None
    # What was streamed so far counts, not what would have come.
    assert (result.usage.input_tokens, result.usage.cache_read_tokens, result.usage.cache_write_tokens) == (100, 30, 40)
    assert result.usage.cost_usd


async def test_a_model_that_never_answers_is_ended_by_the_time_limit(run: Any) -> None:
    result = await run("hi", Hang(), timeout=2.0)
    assert (result.failure, result.session_id != "") == (FailureKind.TIMEOUT, True)


async def test_a_cli_that_is_killed_is_a_failure(
    agent: Callable[..., Agent], sink: RecordingSink, request_for: RequestFor, model: ScriptedModel
) -> None:
    run = asyncio.create_task(agent(GENERAL).run(request_for('"[[hang]]"'), sink))
    assert await asyncio.to_thread(model.wait_for_requests, 1)
    [cli] = [child for child in psutil.Process().children(recursive=True) if child.name() == "claude"]
    cli.kill()
    result = await run
    assert (result.failure, "SIGKILL" in result.error) == (FailureKind.AGENT_ERROR, True)


async def test_many_sessions_at_once_do_not_meet(
    agent: Callable[..., Agent], request_for: RequestFor, work_dir: Path
) -> None:
    sinks = [RecordingSink() for _ in range(4)]
    one = agent(GENERAL)
    await asyncio.gather(*(one.run(request_for(json.dumps(f"I am {i}")), sink) for i, sink in enumerate(sinks)))
    assert [sink.output for sink in sinks] == [f"You said: I am {i}" for i in range(4)]
    assert os.listdir(work_dir) == [SESSIONS]


#: In the CLI's place, which repairs what its model says.
GARBLED = r"""#!/bin/sh
read -r prompt
printf '{"type":"system","subtype":"init","session_id":"s-1"}\n'
printf '{"type":"stream_event","event":{"type":"content_block_delta",'
printf '"delta":{"type":"text_delta","text":"\377\303("}}}\n'
printf '\377\376\n'
printf '{"type":"result","subtype":"success","is_error":false,"result":"\377\303(","num_turns":1,"session_id":"s-1"}\n'
"""


async def test_bytes_that_are_no_utf8_are_replaced_and_end_nothing(
    run: Any, sink: RecordingSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = tmp_path / "claude"
    cli.write_text(GARBLED)
    cli.chmod(0o755)
    monkeypatch.setattr(claude_code, "find_cli", lambda path: str(cli))
    result = await run("hi")
    assert (result.failure, result.session_id, sink.output) == (None, "s-1", "\N{REPLACEMENT CHARACTER}" * 2 + "(")
