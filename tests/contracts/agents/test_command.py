from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentStage, because

PLAIN = "its output is text and nothing else"
OWN = "what it does is its owner's choice"
CODE = "its exit code is all that it says of how it went"


class CommandStage(AgentStage):
    KIND = "command"
    CANNOT = (
        because(PLAIN, Act.MODEL, Act.USAGE, Act.SESSION, Act.TOOL, Act.REMEMBER, Act.FORK, Act.HALF)
        | because(PLAIN, Act.ASKED, Act.THINK, Act.PLAN, Act.RETRY, Act.ANSWER)
        | because(CODE, Act.REFUSE, Act.LIMIT, Act.BAD_OUTPUT, Act.NO_RESULT)
        | because(OWN, Act.DENIED)
    )

    def keys(self, act: Act) -> Mapping[str, Any]:
        if act is Act.UNAVAILABLE:
            return {"command": ["no-such-program"]}
        actor = [sys.executable, "-m", "taskrun.testing.actor", "plain", act.name]
        return {"command": actor}


class TestCommand(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> AgentStage:
        return CommandStage(tmp_path)
