"""A real agent of the protocol: Claude's, with the real Claude Code CLI and a scripted model behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from taskrun.adapters.agents.claude_code import find_cli
from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentStage, because
from tests.contracts.agents.model_stage import FLOOD, ModelStage, models
from tests.contracts.agents.test_claude_code import MODEL
from tests.real_agents import CLAUDE_ACP, NO_CLAUDE_ACP, claude_acp


class ClaudeAcpStage(ModelStage):
    KIND = "acp"
    AGENT = "acp (Claude)"
    STOP_GRACE = 5.0
    SCRIPTS = MODEL
    KEYS: ClassVar[Mapping[Act, Mapping[str, Any]]] = {Act.FLOOD: FLOOD}
    CANNOT = because("its answer is text in any form", Act.BAD_OUTPUT)

    def keys(self, act: Act) -> Mapping[str, Any]:
        return {**super().keys(act), "allowed_tools": [] if act is Act.DENIED else ["execute"]}


@pytest.mark.skipif(not CLAUDE_ACP.exists() or find_cli(None) is None, reason=NO_CLAUDE_ACP)
class TestClaudeAcp(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[AgentStage]:
        with models() as both:
            yield ClaudeAcpStage(tmp_path, both, claude_acp())
