"""A real agent of the protocol: Claude's, with the real Claude Code CLI and a scripted model behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from taskrun.adapters.agents.claude_code import find_cli
from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import STEPS, Act
from taskrun.testing.contracts.agent_stage import AgentStage, because
from taskrun.testing.model_scripts import Reply, Say, UseTool
from tests.contracts.agents.model_stage import FLOOD, ModelStage, models
from tests.contracts.agents.test_acp import DENYING, NO_WORD
from tests.contracts.agents.test_claude_code import MODEL
from tests.real_agents import CLAUDE_ACP, NO_CLAUDE_ACP, claude_acp

TODOS = [
    {"content": step, "status": status, "activeForm": step}
    for step, status in zip(STEPS, ("completed", "pending"), strict=True)
]


class ClaudeAcpStage(ModelStage):
    KIND = "acp"
    AGENT = "acp (Claude)"
    STOP_GRACE = 5.0
    SCRIPTS = MODEL
    TURNS: ClassVar[Mapping[Act, Sequence[Reply]]] = {
        # It tells the plan that its model wants to write, whether or not its CLI has the tool for that.
        Act.PLAN: (UseTool("TodoWrite", {"todos": TODOS}), Say("planned")),
    }
    KEYS: ClassVar[Mapping[Act, Mapping[str, Any]]] = {Act.FLOOD: FLOOD}
    CANNOT = because("its answer is text in any form", Act.BAD_OUTPUT) | because(NO_WORD, Act.RETRY)

    def keys(self, act: Act) -> Mapping[str, Any]:
        return {**super().keys(act), "allowed_tools": [] if act in DENYING else ["execute"]}


@pytest.mark.skipif(not CLAUDE_ACP.exists() or find_cli(None) is None, reason=NO_CLAUDE_ACP)
class TestClaudeAcp(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[AgentStage]:
        with models() as both:
            yield ClaudeAcpStage(tmp_path, both, claude_acp())
