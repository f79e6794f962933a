"""The `[[limits]]` tables of a control plane's file, read with words for whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from taskrun.apps.configuration import meant, shown_value
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.quotas import Limit, Policy

_TEXTS = ("by", "value")
_KEYS = [field.name for field in fields(Limit)]


def read_limits(raw: Any) -> tuple[Limit, ...]:
    """The limits of what TOML has. Raises `ValueError` if that is no list of tables, and `InvalidArgument` that names
    the limit and the key for all else."""
    if not isinstance(raw, list) or not all(isinstance(table, Mapping) for table in raw):
        raise ValueError
    return Policy(_read(table, number) for number, table in enumerate(raw, 1)).limits


def limits_text(limits: tuple[Limit, ...]) -> str:
    """The limits in a line of the log."""
    return "; ".join(map(_text, limits)) or "none"


def _read(table: Mapping[str, Any], number: int) -> Limit:
    who = f"limit no. {number}"
    for key, value in table.items():
        if key not in _KEYS:
            raise InvalidArgument(f"{who} has no key {key!a}.{meant(key, _KEYS)}")
        kind, rule = (str, "some text") if key in _TEXTS else (int, "a whole number")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidArgument(f"{who}: `{key}` is {shown_value(value)}: it must be {rule}.")
    if "by" not in table:
        raise InvalidArgument(f'{who} has no `by`: it must be "client", "agent" or "label:" and a label\'s key.')
    # What a template or a script left empty was to be one value, and not each.
    if table.get("value") == "":
        raise InvalidArgument(f"{who}: `value` is empty: leave it out if each value of {table['by']!a} is meant.")
    return Limit(**table)


def _text(limit: Limit) -> str:
    figures = {name: getattr(limit, name) for name in _KEYS if name not in _TEXTS}
    told = ", ".join(f"{name} {figure}" for name, figure in figures.items() if figure is not None)
    return f"{limit.by} {limit.value or '*'}: {told}"
