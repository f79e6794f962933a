"""The real Claude Code CLI, with a scripted model behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.claude_code import find_cli
from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import (
    AFTER,
    BEFORE,
    LOOK,
    NASTY,
    PIECES,
    READY,
    REASON,
    TOOL_COMMAND,
    Act,
)
from taskrun.testing.contracts.agent_stage import AgentStage, because
from taskrun.testing.model_scripts import BreakOff, Fail, Hang, ModelRequest, Reply, Say, Script, UseTool
from taskrun.testing.scripted_model import ScriptedModel


def once(reply: Reply) -> Script:
    return lambda request: reply


def bash(command: str, before: str = "", after: str = "") -> Script:
    """Has the command run, and says what it answered, with more before and after."""

    def script(request: ModelRequest) -> Reply:
        if request.tool_result is None:
            return UseTool("Bash", {"command": command}, before)
        return Say(request.tool_result + after)

    return script


def remember(request: ModelRequest) -> Reply:
    """Says all that the user ever said."""
    return Say("\n".join(turn.text for turn in request.turns if turn.role == "user"))


SPEAK = once(Say("".join(PIECES)))

MODEL: Mapping[Act, Script] = {
    Act.STREAM: SPEAK,
    Act.MODEL: SPEAK,
    Act.USAGE: SPEAK,
    Act.SESSION: SPEAK,
    Act.TOOL: bash(TOOL_COMMAND),
    Act.FAIL: once(Fail(400, REASON)),
    Act.UNAVAILABLE: once(Fail(529)),
    Act.REFUSE: once(Say("I can not help with that.", stop_reason="refusal")),
    Act.LIMIT: once(Fail(429)),
    Act.BAD_OUTPUT: once(Say("I would call it urgent.")),
    Act.TIME_OUT: once(Hang()),
    Act.HALF: once(BreakOff(f"{BEFORE} I was about to")),
    Act.NO_RESULT: bash("kill -9 $PPID", "".join(PIECES)),
    Act.NOT_UTF8: bash(r"printf '\377\376\303('", BEFORE, AFTER),
    Act.HANG: bash("sleep 1000", READY),
    Act.NASTY: bash(NASTY, READY),
    Act.LOOK: bash(LOOK),
    Act.REMEMBER: remember,
    Act.FORK: remember,
}

KEYS: Mapping[Act, Mapping[str, Any]] = {
    Act.BAD_OUTPUT: {"answer": {"priority": []}},
    Act.TIME_OUT: {"timeout": 2.0},
}


class ClaudeCodeStage(AgentStage):
    KIND = "claude-code"
    STOP_GRACE = 5.0
    CANNOT = because("no model says so much at once", Act.LONG_LINE, Act.FLOOD)

    def __init__(self, place: Path, model: ScriptedModel) -> None:
        super().__init__(place)
        self._model = model

    def environ(self) -> Mapping[str, str]:
        return {**super().environ(), **self._model.environ()}

    def keys(self, act: Act) -> Mapping[str, Any]:
        self._model.script = MODEL[act]
        common = {"allowed_tools": ["Bash"], "set_environment": {"CLAUDE_CODE_MAX_RETRIES": "0"}}
        return {**common, **KEYS.get(act, {})}


@pytest.mark.skipif(find_cli(None) is None, reason="Claude Code is not installed")
class TestClaudeCode(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[AgentStage]:
        with ScriptedModel() as model:
            yield ClaudeCodeStage(tmp_path, model)
