from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentStage, because

NO_WORD = "its protocol has no word for that"
#: Acts in which nothing is allowed.
DENYING = (Act.DENIED, Act.ASKED)


class AcpStage(AgentStage):
    KIND = "acp"
    CANNOT = because(NO_WORD, Act.RETRY)

    def keys(self, act: Act) -> Mapping[str, Any]:
        actor = [sys.executable, "-m", "taskrun.testing.acp_actor", act.name]
        # The actor asks about this tool.
        return {"command": actor, "allowed_tools": [] if act in DENYING else ["execute"]}


class TestAcp(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> AgentStage:
        return AcpStage(tmp_path)
