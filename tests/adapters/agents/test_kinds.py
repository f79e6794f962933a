from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from taskrun.adapters.agents import kinds
from taskrun.adapters.agents.command import CommandAgent, CommandDefinition
from taskrun.adapters.agents.kinds import GROUP, AgentKind, find_kind, offered
from taskrun.domain.errors import InvalidArgument

OURS = AgentKind(CommandDefinition, CommandAgent)


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """What installed packages offer, and a module of one of them with a kind and something else."""
    module = ModuleType("their_agents")
    vars(module).update(KIND=OURS, NOTHING=1)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entries: list[EntryPoint] = []
    monkeypatch.setattr(kinds, "entry_points", lambda group: [entry for entry in entries if entry.group == group])
    offered.cache_clear()
    yield entries
    offered.cache_clear()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_the_kinds_that_come_with_taskrun_are_offered() -> None:
    assert {"claude-code", "command"} <= offered().keys()


def test_a_kind_of_another_package_is_found_by_its_name(theirs: list[EntryPoint]) -> None:
    theirs += [entry("b", "their_agents:KIND"), entry("a", "their_agents:KIND"), EntryPoint("c", "x:y", "else")]
    assert list(offered()) == ["a", "b"]
    assert find_kind("a") is OURS


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module:KIND", "The agent kind a cannot be used here: No module named 'no_such_module'."),
        ("their_agents:NOTHING", "The agent kind a is no AgentKind, but int."),
    ],
)
def test_a_kind_that_cannot_be_used_is_one_clear_line(theirs: list[EntryPoint], value: str, words: str) -> None:
    theirs.append(entry("a", value))
    with pytest.raises(InvalidArgument) as raised:
        find_kind("a")
    assert raised.value.message == words


def test_an_unknown_kind_is_told_with_those_there_are(theirs: list[EntryPoint]) -> None:
    theirs += [entry("a", "x:y"), entry("b", "x:y")]
    with pytest.raises(InvalidArgument, match="There is no agent kind 'magic': there are a, b"):
        find_kind("magic")


def test_two_packages_cannot_offer_the_same(theirs: list[EntryPoint]) -> None:
    theirs += [entry("a", "x:y"), entry("a", "z:y")]
    with pytest.raises(InvalidArgument, match="The agent kind a is offered by two packages"):
        offered()
