"""Claude's agent and the real Claude Code, with a scripted model behind them: what their contract does not ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from taskrun.adapters.agents.acp.definition import AcpDefinition
from taskrun.adapters.agents.claude_code import find_cli
from taskrun.adapters.agents.definitions import make_agent
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import Permission, PermissionAsked, ToolCompleted, ToolRequested
from taskrun.ports.agents import AgentRequest
from taskrun.testing.model_scripts import Say, UseTool, in_turn
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel
from tests.real_agents import CLAUDE_ACP, NO_CLAUDE_ACP, claude_acp

pytestmark = pytest.mark.skipif(not CLAUDE_ACP.exists() or find_cli(None) is None, reason=NO_CLAUDE_ACP)

DEFINITION = msgspec.convert({"name": "claude", **claude_acp()}, AcpDefinition)


async def test_a_tool_that_nobody_allowed_is_asked_for_and_denied(
    model: ScriptedModel, work_dir: Path, environ: dict[str, str], request_for: Callable[[str], AgentRequest]
) -> None:
    model.script = in_turn(UseTool("Bash", {"command": "touch made"}), Say("I may not."))
    sink = RecordingSink()
    agent = make_agent(DEFINITION, work_dir=work_dir, environ=environ | model.environ(), stop_grace=5.0)
    result = await agent.run(request_for('"Make it."'), sink)
    assert (result.failure, sink.output.strip()) == (None, "I may not.")
    [asked] = sink.those(PermissionAsked)
    assert (asked.tool, asked.decision, asked.input) == ("Bash", Permission.DENIED, "touch made")
    assert [told.input for told in sink.those(ToolRequested)] == ["touch made"]
    assert [told.outcome for told in sink.those(ToolCompleted)] == ["error"]


async def test_without_a_login_it_is_not_to_be_had(
    work_dir: Path, environ: dict[str, str], request_for: Callable[[str], AgentRequest]
) -> None:
    agent = make_agent(DEFINITION, work_dir=work_dir, environ=environ, stop_grace=5.0)
    result = await agent.run(request_for('"hello"'), RecordingSink())
    assert (result.failure, "Authentication required" in result.error) == (FailureKind.AGENT_UNAVAILABLE, True)


async def test_what_a_later_turn_cost_is_unknown_and_not_what_it_may_have_counted(
    model: ScriptedModel, work_dir: Path, environ: dict[str, str], request_for: Callable[[str], AgentRequest]
) -> None:
    agent = make_agent(DEFINITION, work_dir=work_dir, environ=environ | model.environ(), stop_grace=5.0)
    first = await agent.run(request_for('"hello"'), RecordingSink())
    later = await agent.run(replace(request_for('"and now?"'), session_id=first.session_id), RecordingSink())
    assert first.usage is not None
    assert later.usage is not None
    assert (first.usage.cost_usd or 0.0, later.usage.input_tokens) > (0.0, 0)
    assert later.usage.cost_usd is None
