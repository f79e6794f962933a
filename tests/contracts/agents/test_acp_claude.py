"""A real agent of the protocol: Claude's, with the real Claude Code CLI and a scripted model behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.claude_code import find_cli
from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentStage, because
from taskrun.testing.model_scripts import ModelRequest, Reply, Say
from taskrun.testing.scripted_model import ScriptedModel
from tests.contracts.agents.test_claude_code import MODEL
from tests.real_agents import CLAUDE_ACP, NO_CLAUDE_ACP, claude_acp


def remember(request: ModelRequest) -> Reply:
    """Says all that the user ever said to it."""
    return Say("\n".join(turn.text for turn in request.turns if turn.role == "user"))


class ClaudeAcpStage(AgentStage):
    KIND = "acp"
    AGENT = "acp (Claude)"
    STOP_GRACE = 5.0
    CANNOT = because("no model says so much at once", Act.LONG_LINE, Act.FLOOD) | because(
        "its answer is text in any form", Act.BAD_OUTPUT
    )

    def __init__(self, place: Path, model: ScriptedModel) -> None:
        super().__init__(place)
        self._model = model

    def environ(self) -> Mapping[str, str]:
        return {**super().environ(), **self._model.environ()}

    def keys(self, act: Act) -> Mapping[str, Any]:
        self._model.script = MODEL.get(act, remember)
        return {**claude_acp(), "allowed_tools": [] if act is Act.DENIED else ["execute"]}


@pytest.mark.skipif(not CLAUDE_ACP.exists() or find_cli(None) is None, reason=NO_CLAUDE_ACP)
class TestClaudeAcp(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[AgentStage]:
        with ScriptedModel() as model:
            yield ClaudeAcpStage(tmp_path, model)
