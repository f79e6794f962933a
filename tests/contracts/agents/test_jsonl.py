from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentStage, because


class JsonLinesStage(AgentStage):
    KIND = "jsonl"
    CANNOT = because("what it does is its owner's choice", Act.DENIED)

    def keys(self, act: Act) -> Mapping[str, Any]:
        actor = [sys.executable, "-m", "taskrun.testing.actor", "jsonl", act.name]
        return {"command": actor}


class TestJsonLines(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> AgentStage:
        return JsonLinesStage(tmp_path)
