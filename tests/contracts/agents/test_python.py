from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentStage, because

FUNCTIONS = Path(__file__).parent / "functions"
SESSIONS = (Act.REMEMBER, Act.FORK)


class PythonStage(AgentStage):
    KIND = "python"
    CANNOT = (
        because("what a function returns is its last word", Act.HALF, Act.NO_RESULT)
        | because("a function has texts, and no bytes", Act.NOT_UTF8)
        | because("a function is in the worker's own process", Act.NASTY, Act.LOOK)
        | because("what it does is its owner's choice", Act.DENIED)
    )

    def keys(self, act: Act) -> Mapping[str, Any]:
        function = f"functions_of_an_owner:{act.name.lower()}"
        return {"function": function, "path": str(FUNCTIONS), "sessions": act in SESSIONS}


class TestPython(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> AgentStage:
        return PythonStage(tmp_path)
