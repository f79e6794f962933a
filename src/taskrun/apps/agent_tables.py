"""The `[[agents]]` tables of a worker's file, read with words for whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from taskrun.adapters.agents.definition import AgentDefinition, Duration
from taskrun.adapters.agents.kinds import find_kind, offered
from taskrun.apps.configuration import meant, shown_value
from taskrun.apps.kinds import seconds
from taskrun.domain.errors import InvalidArgument

#: For a key that says nothing of itself: what completes the sentence "It must be ...".
_RULES: dict[Any, str] = {
    str: "some text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple[str, ...]: "a list of texts",
    dict[str, str]: 'a table of texts, such as { key = "value" }',
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
    definition = _definition(table, who)
    fields = {field.name: field for field in msgspec.structs.fields(definition)}
    for key in table:
        if key not in fields:
            raise InvalidArgument(f"{who} of kind {table['kind']} has no key {key!a}.{meant(key, fields)}")
    for key, field in fields.items():
        if field.required and key not in table:
            raise InvalidArgument(f"{who} has no `{key}`: it must be {_rule(field)}.")
    values = {key: _value(fields[key], value, who) for key, value in table.items()}
    try:
        return definition(**values)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error


def _definition(table: Mapping[str, Any], who: str) -> type[AgentDefinition]:
    """What the table's kind says that there is to be said."""
    kinds = ", ".join(f'"{kind}"' for kind in offered())
    kind = table.get("kind")
    if kind is None:
        raise InvalidArgument(f"{who} has no `kind`: it must be one of {kinds}.")
    if not isinstance(kind, str) or kind not in offered():
        raise InvalidArgument(f"{who}: `kind` is {shown_value(kind)}: it must be one of {kinds}.")
    return find_kind(kind).definition


def _value(field: FieldInfo, value: Any, who: str) -> Any:
    try:
        return seconds(value) if field.type in (Duration, Duration | None) else msgspec.convert(value, field.type)
    # What msgspec raises is a ValueError too.
    except ValueError as error:
        shown = shown_value(value)
        raise InvalidArgument(f"{who}: `{field.name}` is {shown}: it must be {_rule(field)}.") from error


def _rule(field: FieldInfo) -> str:
    wanted = Duration if field.type == Duration | None else field.type
    if get_origin(wanted) is not Annotated:
        return _RULES.get(wanted, "something else")
    plain, meta = get_args(wanted)
    return meta.description or _RULES.get(plain, "something else")
