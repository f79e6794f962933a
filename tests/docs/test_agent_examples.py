"""The examples of agents are agents."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from taskrun.adapters.agents.definitions import make_agent
from taskrun.adapters.agents.jsonl import JsonLinesDefinition
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import ToolCompleted, ToolRequested
from taskrun.ports.agents import Agent, AgentRequest
from taskrun.testing.recording_sink import RecordingSink

AGENTS = Path(__file__).parents[2] / "examples" / "agents"


@pytest.fixture(params=["counter.py", "counter.mjs"])
def counter(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    program = AGENTS / request.param
    interpreter = sys.executable if program.suffix == ".py" else shutil.which("node")
    if interpreter is None:
        pytest.skip("there is no node on the PATH")
    definition = JsonLinesDefinition(name="counter", command=(interpreter, str(program)))
    return make_agent(definition, work_dir=tmp_path, environ=os.environ, stop_grace=1.0)


async def test_the_counters_count(counter: Agent) -> None:
    sink = RecordingSink()
    result = await counter.run(AgentRequest("run-1", "task-1", json.dumps("one two  three\n")), sink)
    assert (result.failure, sink.texts) == (None, ["Let me count. ", "There are 3 words."])
    assert sink.those(ToolRequested) == [ToolRequested("count", "", "one two  three\n")]
    assert sink.those(ToolCompleted) == [ToolCompleted("count", "", "ok", 1)]


async def test_the_counters_refuse_what_is_no_text(counter: Agent) -> None:
    result = await counter.run(AgentRequest("run-1", "task-1", "[1, 2]"), RecordingSink())
    assert result.failure is FailureKind.REFUSED


@pytest.mark.parametrize("program", ["counter.py", "counter.mjs"])
def test_a_counter_has_about_20_lines(program: str) -> None:
    assert len([line for line in (AGENTS / program).read_text().splitlines() if line.strip()]) <= 20
