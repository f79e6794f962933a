"""The story of a world, told line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any


def line(time: float, who: str, what: str, facts: tuple[object, ...]) -> str:
    """One line: when, who, what, and whatever belongs to it."""
    return " ".join([f"{time:10.3f}  {who:13}  {what}", *map(shown, facts)]).rstrip()


def shown(value: object) -> str:
    """A value as one reads it: enums by their words, records without what has its default, no addresses."""
    if isinstance(value, Enum):
        return str(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        told = [f"{name}={shown(fact)}" for name, fact in _told(value)]
        return f"{type(value).__name__}({', '.join(told)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{shown(key)}: {shown(value[key])}" for key in value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(shown, value))) + "}"
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    return str(value) if isinstance(value, str | int | float | bool | None) else "..."


def _told(record: Any) -> list[tuple[str, object]]:
    return [
        (field.name, value) for field in fields(record) if (value := getattr(record, field.name)) != _default(field)
    ]


def _default(field: Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default
