"""The page about agents of the Agent Client Protocol says what is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from taskrun.adapters.agents.acp.definition import AcpDefinition
from taskrun.adapters.agents.acp.verdict import END_TURN, failure_by
from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.apps.agent_tables import read_agents

PAGE = (Path(__file__).parents[2] / "docs" / "agents-acp.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_workers_file(example: str) -> None:
    agents = read_agents(tomllib.loads(example)["agents"])
    assert {type(agent) for agent in agents} == {AcpDefinition}


def test_every_key_has_its_row() -> None:
    own = {field.name for field in msgspec.structs.fields(AcpDefinition)} - set(AgentDefinition.__struct_fields__)
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE.partition("## What the agent")[0], re.MULTILINE)) == own


@pytest.mark.parametrize("reason", re.findall(r"stop reason (.*?)[;|]", PAGE))
def test_a_stop_reason_fails_the_run_as_the_page_says(reason: str) -> None:
    row = next(line for line in PAGE.splitlines() if f"stop reason {reason}" in line)
    for word in re.findall(r"`(\w+)`", reason):
        failure, _ = failure_by(word)
        assert failure is not None
        assert row.endswith(f"| `{failure.value}` |")


def test_success_is_one_word_as_the_page_says() -> None:
    assert f"Success is `{END_TURN}` and nothing else." in PAGE
    assert failure_by(END_TURN)[0] is None
