"""The table of run events in docs/agents.md is the vocabulary, word for word."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from taskrun.domain.status import RunEventType
from taskrun.ports import agent_events
from taskrun.ports.agent_events import AgentEvent

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
ROW = re.compile(r"^\| `([A-Z_]+)` \| [^|]+ \|([^|]*)\|", re.MULTILINE)


def vocabulary() -> dict[str, list[str]]:
    """The names of each event's metadata, by its type."""
    kinds = [kind for _, kind in inspect.getmembers(agent_events, inspect.isclass) if issubclass(kind, AgentEvent)]
    return {
        kind.TYPE.value: [field.name for field in fields(kind)]  # type: ignore[arg-type]  # each is a dataclass
        for kind in kinds
        if kind is not AgentEvent
    }


def documented() -> dict[str, list[str]]:
    """The same, by the page; what a value can be stands in parentheses."""
    return {type: re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", metadata)) for type, metadata in ROW.findall(PAGE)}


def test_the_page_has_every_event_with_its_metadata() -> None:
    assert documented() == vocabulary()


def test_every_type_has_an_event_that_agents_can_tell() -> None:
    assert set(vocabulary()) == {type.value for type in RunEventType if type is not RunEventType.UNKNOWN}
