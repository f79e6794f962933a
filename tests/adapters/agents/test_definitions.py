from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskrun.adapters.agents.claude_code import ClaudeCodeAgent, ClaudeCodeDefinition
from taskrun.adapters.agents.command import CommandAgent
from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.definitions import BUILT_IN, make_agent
from taskrun.adapters.agents.kinds import find_kind
from taskrun.domain.limits import checked_hello
from taskrun.domain.protocol import Hello
from taskrun.domain.records import WorkerInfo
from taskrun.ports.agents import Agent

NEVER_TOLD_TO_ASK = (
    "Agent a: what it may not use is denied only where it asks, and no `mode` in `options` says that it does."
)


def defined(**keys: Any) -> AgentDefinition:
    kind = find_kind(keys.get("kind", "command")).definition
    return msgspec.convert({"name": "a", **({} if "kind" in keys else {"command": ["true"]}), **keys}, kind)


def made(definition: AgentDefinition) -> Agent:
    return make_agent(definition, work_dir=Path("runs"), environ={}, stop_grace=1.0)


def test_a_definition_is_read_from_toml() -> None:
    text = """
        name = "reviewer"
        kind = "claude-code"
        description = "Reviews"
        labels = { team = "core" }
        timeout = 90
        prompt = "Review {input.path}"
        model = "opus"
        allowed_tools = ["Read", "Bash(git *)"]
        max_turns = 5
        environment = ["GIT_*"]
        set_environment = { PAGER = "cat" }
    """
    definition = msgspec.convert(tomllib.loads(text), ClaudeCodeDefinition)
    assert (definition.timeout, definition.allowed_tools) == (90.0, ("Read", "Bash(git *)"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"name": "No Good"}, "No Good"),
        ({"labels": {"": "x"}}, "empty key"),
        ({"colour": "red"}, "colour"),
        ({"timeout": 0}, "`timeout`"),
        ({"timeout": float("nan")}, "`timeout`"),
        ({"timeout": 1e9}, "`timeout`"),
        ({"command": []}, "`command` is missing"),
        ({"command": [""]}, "`command` is missing"),
        ({"command": ["a\0b"]}, "NUL"),
        ({"prompt": "hi"}, "prompt"),
        ({"kind": "claude-code", "command": ["true"]}, "command"),
        ({"kind": "claude-code", "max_turns": -1}, "`max_turns`"),
        ({"environment": ["TASKRUN_KEY"]}, "TASKRUN_"),
        ({"set_environment": {"TASKRUN_RUN_ID": "x"}}, "TASKRUN_"),
        ({"set_environment": {"A=B": "x"}}, "without `=`"),
        ({"kind": "codex", "api_key_variable": "TASKRUN_KEY"}, "`api_key_variable`"),
        ({"kind": "codex", "base_url_variable": ""}, "`base_url_variable`"),
        ({"kind": "openai", "model": "m", "api_key_variable": "TASKRUN_KEY"}, "`api_key_variable`"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_in_clear_words(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        defined(**keys)


@pytest.mark.parametrize(
    ("keys", "remarked"),
    [
        ({}, True),
        ({"allowed_tools": ["*"], "disallowed_tools": ["execute"]}, True),
        ({"options": {"mode": "default"}}, False),
        ({"allowed_tools": ["*"]}, False),
    ],
)
def test_an_agent_that_nobody_has_told_to_ask_is_remarked_on(keys: dict[str, Any], remarked: bool) -> None:
    told = list(defined(kind="acp", command=["agent"], **keys).remarks())
    assert told == [NEVER_TOLD_TO_ASK] * remarked


def test_others_are_not() -> None:
    assert [remark for definition in (*BUILT_IN, defined()) for remark in definition.remarks()] == []


def test_two_agents_are_built_in() -> None:
    assert [definition.name for definition in BUILT_IN] == ["general", "support_triage"]


def test_what_the_built_in_agents_announce_is_accepted_by_a_control_plane() -> None:
    specs = tuple(made(definition).spec for definition in BUILT_IN)
    assert checked_hello(Hello(WorkerInfo(agents=specs))).info.agents == specs
    assert [spec.backends[0].provider for spec in specs] == ["anthropic", "anthropic"]


@pytest.mark.parametrize(
    ("definition", "kind"),
    [(BUILT_IN[0], ClaudeCodeAgent), (defined(), CommandAgent)],
    ids=lambda value: str(value)[:20],
)
def test_the_kind_decides_what_agent_is_made(definition: AgentDefinition, kind: type[Agent]) -> None:
    agent = made(definition)
    assert isinstance(agent, kind)
    assert agent.spec.name == definition.name


@pytest.mark.parametrize(
    ("keys", "environ", "model", "said"),
    [
        ({"model": "opus"}, {"ANTHROPIC_MODEL": "haiku"}, "opus", {}),
        ({}, {"ANTHROPIC_MODEL": "haiku"}, "haiku", {}),
        ({"set_environment": {"ANTHROPIC_MODEL": "sonnet"}}, {"ANTHROPIC_MODEL": "haiku"}, "sonnet", {}),
        ({}, {}, "", {"model": "Claude Code's default"}),
    ],
)
def test_a_model_is_announced_if_somebody_has_chosen_one(
    keys: dict[str, Any], environ: dict[str, str], model: str, said: dict[str, str]
) -> None:
    definition = ClaudeCodeDefinition(name="a", **keys)
    [backend] = make_agent(definition, work_dir=Path("/runs"), environ=environ, stop_grace=1.0).spec.backends
    assert (backend.model_name, backend.metadata) == (model, said)
