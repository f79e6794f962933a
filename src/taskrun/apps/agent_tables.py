"""The `[[agents]]` tables of a worker's file, read with words for whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from taskrun.adapters.agents.definition import AgentDefinition, Kind
from taskrun.apps.configuration import meant, shown_value
from taskrun.apps.kinds import seconds
from taskrun.domain.errors import InvalidArgument

_FIELDS = {field.name: field for field in msgspec.structs.fields(AgentDefinition)}

_KINDS = " or ".join(f'"{kind}"' for kind in get_args(Kind))
_TEXT, _TEXTS = "some text", "a list of texts"
_PAIRS = 'a table of texts, such as { key = "value" }'
#: Each key, and what completes the sentence "It must be ...".
_RULES = {
    "name": _TEXT,
    "kind": _KINDS,
    "description": _TEXT,
    "labels": _PAIRS,
    "timeout": "a duration such as 90, 90s, 10m or 1h",
    "working_directory": _TEXT,
    "environment": _TEXTS,
    "set_environment": _PAIRS,
    "command": "a list of texts: the program and its arguments",
    "prompt": _TEXT,
    "system_prompt": _TEXT,
    "model": _TEXT,
    "allowed_tools": _TEXTS,
    "disallowed_tools": _TEXTS,
    "max_turns": "a whole number",
    "answer": 'a table of lists of texts, such as { priority = ["low", "high"], summary = [] }',
}


def read_agents(raw: Any) -> tuple[AgentDefinition, ...]:
    """The agents of what TOML has. Raises `ValueError` if that is no list of tables, and `InvalidArgument` that names
    the agent and the key for all else."""
    if not isinstance(raw, list) or not all(isinstance(table, Mapping) for table in raw):
        raise ValueError
    agents = tuple(_read(table, number) for number, table in enumerate(raw, 1))
    names = [agent.name for agent in agents]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidArgument(f"two agents are named {min(twice)}.")
    return agents


def _read(table: Mapping[str, Any], number: int) -> AgentDefinition:
    name = table.get("name")
    who = f"agent {name!a}" if isinstance(name, str) else f"agent no. {number}"
    for key in table:
        if key not in _FIELDS:
            raise InvalidArgument(f"{who} has no key {key!a}.{meant(key, _FIELDS)}")
    for key, field in _FIELDS.items():
        if field.required and key not in table:
            raise InvalidArgument(f"{who} has no `{key}`: it must be {_RULES[key]}.")
    values = {key: _value(key, value, who) for key, value in table.items()}
    try:
        return AgentDefinition(**values)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error


def _value(key: str, value: Any, who: str) -> Any:
    try:
        return seconds(value) if key == "timeout" else msgspec.convert(value, _FIELDS[key].type)
    # What msgspec raises is a ValueError too.
    except ValueError as error:
        raise InvalidArgument(f"{who}: `{key}` is {shown_value(value)}: it must be {_RULES[key]}.") from error
