"""A provider that is dead fails the run within a minute, by the settings that TaskRun gives the CLI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskrun.adapters.agents.claude_code import ClaudeCodeDefinition, find_cli
from taskrun.adapters.agents.definitions import make_agent
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest
from taskrun.testing.model_scripts import Fail, Hang, ModelRequest, Reply, Stall
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel

MINUTE = 60.0

#: What the model does, how the run fails then, and what its error says.
DEAD: dict[str, tuple[Reply, FailureKind, str]] = {
    "hang": (Hang(), FailureKind.AGENT_UNAVAILABLE, "timed out"),
    "stall": (Stall("one two"), FailureKind.AGENT_UNAVAILABLE, "idle"),
    "later": (Fail(429, "Too much.", retry_after=30), FailureKind.LIMIT_REACHED, "429"),
}


def script(request: ModelRequest) -> Reply:
    return DEAD[request.prompt][0]


# Together: they wait, and compute next to nothing.
@pytest.mark.waits
@pytest.mark.timeout(180)
@pytest.mark.skipif(find_cli(None) is None, reason="Claude Code is not installed")
async def test_a_dead_provider_fails_the_run_within_a_minute_and_says_why(
    model: ScriptedModel, work_dir: Path, environ: dict[str, str], request_for: Callable[[str], AgentRequest]
) -> None:
    model.script = script
    definition = ClaudeCodeDefinition(name="claude")
    agent = make_agent(definition, work_dir=work_dir, environ=environ | model.environ(), stop_grace=5.0)

    async def played(prompt: str) -> tuple[FailureKind | None, str, float]:
        began = time.monotonic()
        result = await agent.run(request_for(f'"{prompt}"'), RecordingSink())
        return result.failure, result.error, time.monotonic() - began

    played_all = await asyncio.gather(*map(played, DEAD))
    for (failure, error, seconds), (_, kind, why) in zip(played_all, DEAD.values(), strict=True):
        assert (failure, why in error.lower()) == (kind, True), error
        assert seconds < MINUTE
