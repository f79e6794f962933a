"""The examples of agents are agents."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskrun.adapters.agents.definitions import make_agent
from taskrun.adapters.agents.jsonl import JsonLinesDefinition
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import ToolCompleted, ToolRequested
from taskrun.ports.agents import Agent, AgentRequest
from taskrun.testing.model_scripts import Fail, ModelRequest, Reply, Say, UseTool
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel

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
    result = await counter.run(AgentRequest("example-1", "task-1", json.dumps("one two  three\n")), sink)
    assert (result.failure, sink.texts) == (None, ["Let me count. ", "There are 3 words."])
    assert sink.those(ToolRequested) == [ToolRequested("count", "", "one two  three\n")]
    assert sink.those(ToolCompleted) == [ToolCompleted("count", "", "ok", 1)]


async def test_the_counters_refuse_what_is_no_text(counter: Agent) -> None:
    result = await counter.run(AgentRequest("example-1", "task-1", "[1, 2]"), RecordingSink())
    assert result.failure is FailureKind.REFUSED


@pytest.mark.parametrize("program", ["counter.py", "counter.mjs"])
def test_a_counter_has_20_lines(program: str) -> None:
    assert len((AGENTS / program).read_text().splitlines()) <= 20


# Those with packages of their own, in the environments that scripts/example-agents has made.

FRAMEWORKS = sorted(path.parent.name for path in AGENTS.glob("*/requirements.txt"))


def counting_model(request: ModelRequest) -> Reply:
    """Uses the tool for what is to be counted, tells what was said before, and fails on demand."""
    asked = request.turns[-1].text
    if request.tool_result is not None:
        return Say(f"There are {request.tool_result} words.")
    if asked.isdigit():
        return Fail(int(asked))
    if asked.startswith("count"):
        return UseTool("count_words", {"text": "one two three"})
    return Say(" | ".join(turn.text for turn in request.turns if turn.role == "user"))


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Agent]:
    place = AGENTS.parents[1] / ".venv-agents" / request.param
    interpreter = place / "bin" / "python"
    if not (place / ".installed").exists():
        pytest.skip(f"the packages of {request.param} are not installed: run scripts/example-agents")
    program = AGENTS / request.param / "agent.py"
    definition = JsonLinesDefinition(name="it", command=(str(interpreter), str(program)), environment=("OPENAI_*",))
    with ScriptedModel(counting_model) as model:
        environ = {"PATH": os.environ["PATH"], "OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "scripted"}
        yield make_agent(definition, work_dir=tmp_path, environ=environ, stop_grace=1.0)


async def test_a_framework_s_agent_streams_uses_its_tool_counts_its_tokens_and_remembers(framework: Agent) -> None:
    sink = RecordingSink()
    first = await framework.run(AgentRequest("example-1", "task-1", '"count this"'), sink)
    assert (first.failure, first.error, sink.output) == (None, "", "There are 3 words.")
    assert len(sink.texts) > 1
    [asked], [answered] = sink.those(ToolRequested), sink.those(ToolCompleted)
    assert (asked.tool, answered.tool, answered.outcome, answered.result_size) == (
        "count_words",
        "count_words",
        "ok",
        1,
    )
    assert (asked.tool_use_id == answered.tool_use_id, "one two three" in asked.input) == (True, True)
    assert first.backend is not None
    assert first.usage is not None
    assert (first.backend.provider, min(first.usage.input_tokens, first.usage.output_tokens) > 0) == ("openai", True)
    again = RecordingSink()
    second = await framework.run(AgentRequest("example-2", "task-1", '"and now?"', session_id=first.session_id), again)
    assert (second.failure, second.session_id, again.output) == (None, first.session_id, "count this | and now?")


async def test_a_framework_s_agent_says_why_it_failed(framework: Agent) -> None:
    result = await framework.run(AgentRequest("example-1", "task-1", '"429"'), RecordingSink())
    assert (result.failure, "429" in result.error) == (FailureKind.LIMIT_REACHED, True)
