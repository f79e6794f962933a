"""The real Claude Code CLI, with a scripted model behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from taskrun.adapters.agents.claude_code import find_cli
from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import (
    DENIED_COMMAND,
    LOOK,
    NASTY,
    PIECES,
    READY,
    STEPS,
    TOOL_COMMAND,
    Act,
)
from taskrun.testing.contracts.agent_stage import AgentStage
from taskrun.testing.model_scripts import Fail, Reply, Say, Script, UseTool
from tests.contracts.agents.model_stage import TURNS, WORDS, ModelStage, bash, models, once

COMMON = {"allowed_tools": ["Bash"], "set_environment": {"CLAUDE_CODE_MAX_RETRIES": "0"}}


#: What the model does where the agent is Claude Code, however it is driven.
MODEL: Mapping[Act, Script] = {
    **WORDS,
    Act.TOOL: bash(TOOL_COMMAND),
    Act.UNAVAILABLE: once(Fail(529)),
    Act.NO_RESULT: bash("kill -9 $PPID", "".join(PIECES)),
    Act.HANG: bash("sleep 1000", READY),
    Act.NASTY: bash(NASTY, READY),
    Act.LOOK: bash(LOOK),
    Act.DENIED: bash(DENIED_COMMAND),
    Act.ASKED: bash(DENIED_COMMAND),
}
PLANNED: Mapping[Act, Sequence[Reply]] = {
    **TURNS,
    Act.PLAN: (
        *(UseTool("TaskCreate", {"subject": step, "description": step}) for step in STEPS),
        UseTool("TaskUpdate", {"taskId": "1", "status": "completed"}),
        Say("planned"),
    ),
}
#: Allows nothing of what is to be denied.
GIT_ONLY = {"allowed_tools": ["Bash(git *)"]}


class ClaudeCodeStage(ModelStage):
    KIND = "claude-code"
    STOP_GRACE = 5.0
    SCRIPTS = MODEL
    TURNS = PLANNED
    KEYS: ClassVar[Mapping[Act, Mapping[str, Any]]] = {
        **ModelStage.KEYS,
        Act.DENIED: GIT_ONLY,
        Act.ASKED: GIT_ONLY,
        Act.PLAN: {"allowed_tools": ["TaskCreate", "TaskUpdate"]},
        Act.RETRY: {"set_environment": {}},
    }


@pytest.mark.skipif(find_cli(None) is None, reason="Claude Code is not installed")
class TestClaudeCode(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[AgentStage]:
        with models() as both:
            yield ClaudeCodeStage(tmp_path, both, COMMON)
