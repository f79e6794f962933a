"""Agents that ask OpenAI's APIs, on a real worker: what they say and what it costs arrives, as of any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskrun.adapters.agents.codex.agent import find_cli
from taskrun.domain.records import OutputSegment, Task
from taskrun.domain.status import TaskStatus
from taskrun.testing.scripted_model import ScriptedModel
from tests.system.site import Site

AGENTS = [
    {"name": "chat", "kind": "openai", "model": "gpt-5.5"},
    {"name": "responses", "kind": "openai", "model": "gpt-5.5", "api": "responses"},
    pytest.param(
        {"name": "codex", "kind": "codex", "model": "gpt-5.5"},
        marks=pytest.mark.skipif(find_cli(None) is None, reason="Codex is not installed"),
    ),
]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model


def said(site: Site, task: Task) -> str:
    bodies = [entry.body for entry in site.story(task.id)]
    return "".join(text for body in bodies if isinstance(body, OutputSegment) for text in body.contents)


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent["name"])
def test_a_task_is_answered_by_the_model(site: Site, model: ScriptedModel, agent: dict[str, str]) -> None:
    site.start_worker("one", agents=[agent], environ=model.environ())
    task = site.end_of(site.create(agent["name"], "Hello, model!").id)
    [run] = task.runs
    assert (task.status, said(site, task)) == (TaskStatus.COMPLETED, "You said: Hello, model!")
    assert run.backend is not None
    assert (run.backend.provider, run.backend.model_name) == ("openai", "gpt-5.5")
    assert run.usage is not None
    assert run.usage.output_tokens > 0
    assert run.session_id != ""
