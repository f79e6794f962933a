from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskrun.testing.contracts.agent import AgentContract
from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import AgentStage, because
from tests.contracts.agents.model_stage import ModelStage, models


class OpenAIStage(ModelStage):
    KIND = "openai"
    CANNOT = because("it has no tools and no program", Act.TOOL, Act.NASTY, Act.LOOK, Act.DENIED, Act.ASKED, Act.PLAN)


@pytest.mark.parametrize("api", ["chat", "responses"])
class TestOpenAI(AgentContract):
    @pytest.fixture
    def stage(self, tmp_path: Path, api: str) -> Iterator[AgentStage]:
        with models() as both:
            yield OpenAIStage(tmp_path, both, {"model": "m", "api": api})
